"""The methods of the API, from the generated descriptors: what `guerdon call` can call."""

import importlib
import pkgutil
from collections.abc import Iterator

from google.protobuf.descriptor import FileDescriptor, MethodDescriptor

from guerdon import api


class MethodUnknown(Exception):
    """No method, or several, by that name; the text names those that come near."""


def all_methods() -> list[MethodDescriptor]:
    """Every RPC, in the order of packages, services and their protos."""
    return [
        method
        for file in _files()
        for service in file.services_by_name.values()
        for method in service.methods
    ]


def find_method(name: str) -> MethodDescriptor:
    """By `Redeem`, `OfferService/Redeem` or the full path, in any case. Raises MethodUnknown."""
    wanted = name.strip("/").replace("/", ".").lower()
    found = [
        method for method in all_methods() if f".{method.full_name.lower()}".endswith(f".{wanted}")
    ]
    if len(found) == 1:
        return found[0]
    near = found or [m for m in all_methods() if wanted[:4] in m.name.lower()] or all_methods()
    said = "is the name of several methods" if found else "is no method"
    raise MethodUnknown(f"{name} {said}; there are {', '.join(short_name(m) for m in near)}")


def short_name(method: MethodDescriptor) -> str:
    """Service/Method, as people write it."""
    return f"{method.containing_service.name}/{method.name}"


def path_of(method: MethodDescriptor) -> str:
    """The path on the wire."""
    return f"/{method.containing_service.full_name}/{method.name}"


def _files() -> Iterator[FileDescriptor]:
    for module in pkgutil.walk_packages(api.__path__, f"{api.__name__}."):
        if module.name.endswith("_service_pb2"):
            yield importlib.import_module(module.name).DESCRIPTOR
