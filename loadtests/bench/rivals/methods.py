"""Paths of the rivals' methods and of the one they are compared with."""

ECHO = "/rivals.Echo/Echo"
TEXTBOOK = "/rivals.Textbook/Redeem"
REDEEM = "/guerdon.api.offers.v1.OfferService/Redeem"
