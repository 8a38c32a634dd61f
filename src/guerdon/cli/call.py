"""`guerdon call`: one call to a server, with messages as JSON. It needs no reflection."""

import json
import os
import stat
import sys
from collections.abc import Iterator
from typing import Annotated, Any, NoReturn

import grpc
import typer
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2  # type: ignore[import-untyped]  # No types are shipped.
from grpc_status import rpc_status
from uuid_utils.compat import uuid7

from guerdon.cli.console import EXIT_USAGE, errors, output
from guerdon.cli.methods import MethodUnknown, all_methods, find_method, path_of, short_name
from guerdon.cli.state import read_demo_access
from guerdon.limits import DEADLINE_SECONDS_DEFAULT

EXIT_UNAVAILABLE = 69
# Other answers of the server: 100 and the number of the status, as in 105 for NOT_FOUND.
EXIT_STATUS_BASE = 100

DEFAULT_ADDRESS = "127.0.0.1:50051"
KEY_VARIABLE = "GUERDON_API_KEY"
ADDRESS_VARIABLE = "GUERDON_ADDRESS"


def call(
    method: Annotated[
        str | None, typer.Argument(help="As in Redeem or OfferService/Redeem.")
    ] = None,
    message: Annotated[
        str | None, typer.Argument(help="The request as JSON; - or a pipe reads standard input.")
    ] = None,
    address: Annotated[str | None, typer.Option(envvar=ADDRESS_VARIABLE, help="host:port")] = None,
    key: Annotated[
        str | None,
        typer.Option(envvar=KEY_VARIABLE, help="API key; `guerdon dev` keeps a demo key."),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds.", min=0.001)] = DEADLINE_SECONDS_DEFAULT,
    list_methods: Annotated[bool, typer.Option("--list", help="List the methods.")] = False,
) -> None:
    """Call a method of a running server and print the answer as JSON.

    A request id that is missing is filled in and told. Streams take and print one message a line.
    """
    if list_methods:
        print_methods()
        return
    if method is None:
        refuse("Which method? `guerdon call --list` lists them.")
    access = read_demo_access()
    address = address or (access.address if access else DEFAULT_ADDRESS)
    key = key or (access.api_key if access and access.address == address else None)
    try:
        descriptor = find_method(method)
        requests = list(read_requests(descriptor, read_input(message)))
    except (MethodUnknown, json_format.ParseError, json.JSONDecodeError) as error:
        refuse(str(error))
    try:
        for answer in exchange(address, descriptor, requests, key, timeout):
            output.print(as_json(answer, in_one_line=descriptor.server_streaming), markup=False)
    except grpc.RpcError as error:
        raise typer.Exit(print_status(error, address, key)) from None


def refuse(text: str) -> NoReturn:
    errors.print(text, markup=False, style="red")
    raise typer.Exit(EXIT_USAGE)


def print_methods() -> None:
    for method in all_methods():
        stream = "stream " if method.client_streaming else ""
        output.print(f"{short_name(method):44} {stream}{method.input_type.name}", markup=False)


def read_input(message: str | None) -> str:
    """The argument, or what is piped in; {} when there is neither."""
    if message is None:
        mode = os.fstat(sys.stdin.fileno()).st_mode
        piped = stat.S_ISFIFO(mode) or stat.S_ISREG(mode)
        message = "-" if piped else "{}"
    return sys.stdin.read() or "{}" if message == "-" else message


def read_requests(method: MethodDescriptor, text: str) -> Iterator[Message]:
    """One message, or for a stream one from each line."""
    for part in text.splitlines() if method.client_streaming else [text]:
        if part.strip():
            request = GetMessageClass(method.input_type)()
            json_format.Parse(part, request)
            fill_request_id(request)
            yield request


def fill_request_id(request: Any) -> None:
    """A fresh id for a call by hand; a program chooses its own, so that it can retry."""
    field = request.DESCRIPTOR.fields_by_name.get("request_id")
    if field is not None and not request.request_id:
        request.request_id = str(uuid7())
        errors.print(f"request_id: {request.request_id} (made for this call)", markup=False)


def exchange(
    address: str, method: MethodDescriptor, requests: list[Message], key: str | None, timeout: float
) -> Iterator[Message]:
    """The answers. Raises grpc.RpcError."""
    metadata = (("authorization", f"Bearer {key}"),) if key else ()
    parse = GetMessageClass(method.output_type).FromString
    with grpc.insecure_channel(address) as channel:
        if method.client_streaming:
            stream = channel.stream_stream(path_of(method), _serialize, parse)
            yield from stream(iter(requests), timeout=timeout, metadata=metadata)
        else:
            unary = channel.unary_unary(path_of(method), _serialize, parse)
            yield unary(requests[0], timeout=timeout, metadata=metadata)


def as_json(message: Message, *, in_one_line: bool = False) -> str:
    return json_format.MessageToJson(message, indent=None if in_one_line else 2, ensure_ascii=False)


def print_status(error: Any, address: str, key: str | None) -> int:
    """Says what the server said, or that there is none; the exit code."""
    code = error.code()
    status = rpc_status.from_call(error)
    if status is None:
        errors.print(f"{code.name}: {error.details()}", markup=False, style="red")
        if code is grpc.StatusCode.UNAVAILABLE:
            errors.print(f"Is a server running at {address}? `guerdon dev` starts one.")
            return EXIT_UNAVAILABLE
    else:
        errors.print(f"{code.name}: {status.message}", markup=False, style="red")
        for detail in status.details:
            print_detail(detail)
    if code is grpc.StatusCode.UNAUTHENTICATED and not key:
        errors.print(f"Give an API key with --key or {KEY_VARIABLE}.", markup=False)
    return EXIT_STATUS_BASE + int(code.value[0])


def print_detail(packed: Any) -> None:
    """The reason and the violations as lines, anything else as JSON."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    if packed.Unpack(info):
        values = "".join(f" {name}={value}" for name, value in sorted(info.metadata.items()))
        errors.print(f"  reason {info.reason}{values}", markup=False)
    elif packed.Unpack(bad):
        for violation in bad.field_violations:
            errors.print(f"  {violation.field}: {violation.description}", markup=False)
    else:
        errors.print(f"  {packed.TypeName()} {as_json(packed, in_one_line=True)}", markup=False)


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
