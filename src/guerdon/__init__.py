"""Guerdon decides who may have which offer, prices it, and counts every use exactly."""

__version__ = "0.1.0"
