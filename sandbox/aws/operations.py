"""The table of API operations the sandbox answers itself; moto answers the rest.

An operation is a function from request parameters to response members, both named as in the API
reference; moto's parsers and serializers speak the wire protocols.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.model import OperationModel, ServiceModel
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import Request, determine_request_protocol
from moto.core.serialize import XFormedAttributePicker, get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.wrappers import Response

from sandbox.aws.account_state import AccountState

Parameters = dict[str, Any]
Resource = dict[str, Any]
Operation = Callable[[AccountState, Parameters], dict[str, Any]]

OPERATIONS: dict[tuple[str, str], Operation] = {}
# Per service: start what should run and remove what should not, after a start or a failure.
RECOVERIES: dict[str, Callable[[AccountState], None]] = {}
# Per service: what the maintenance and backup windows bring.
MAINTENANCE: dict[str, Callable[[AccountState], None]] = {}


class AwsError(ServiceException):
    """An error as AWS words it: the code (or the shape's name), then the message."""

    status: HTTPStatus | None = None  # as the API's model says

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)


class UnimplementedError(AwsError):
    status = HTTPStatus.NOT_IMPLEMENTED

    def __init__(self, service: str, operation: str) -> None:
        super().__init__("NotImplemented", f"the sandbox's AWS API does not implement {service}:{operation}")


class InternalFailureError(AwsError):
    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self, operation: str, cause: str) -> None:
        super().__init__("InternalFailure", f"the sandbox failed in {operation}: {cause}")


def operation(service: str, name: str) -> Callable[[Operation], Operation]:
    """Register a function as the answer to `service`:`name`."""

    def register(function: Operation) -> Operation:
        OPERATIONS[service, name] = function
        return function

    return register


@functools.cache
def members(service: str, shape: str) -> frozenset[str]:
    """The member names of one of the API's shapes."""
    return frozenset(get_service_model(service).shape_for(shape).members)


def parse(request: Request, service: str, name: str, url_parameters: dict[str, Any]) -> Parameters:
    """The request's parameters; refuses one that lacks a required parameter."""
    model: ServiceModel = get_service_model(service)
    operation_model: OperationModel = model.operation_model(name)
    parser = PROTOCOL_PARSERS[determine_request_protocol(model, request.content_type)](operation_model)
    try:
        parameters: Parameters = parser.parse(
            {
                "method": request.method,
                "values": request.values,
                "headers": request.headers,
                "body": request.data,
                "url_path": request.path,
                "url_params": url_parameters,
            }
        )
    except ValueError as error:
        raise AwsError("MalformedInput", f"the parameters of {name} cannot be read: {error}") from error
    if operation_model.input_shape is not None:
        for required in operation_model.input_shape.required_members:
            if required not in parameters:
                raise AwsError("MissingParameter", f"The request must contain the parameter {required}.")
        _check_choices(operation_model.input_shape, parameters, name)
    return parameters


def _check_choices(shape: Any, value: Any, name: str) -> None:
    """Refuse a word that the API's model does not list."""
    if shape.type_name == "structure":
        for member, given in (value or {}).items():
            _check_choices(shape.members[member], given, member)
    elif shape.type_name == "list":
        for each in value or []:
            _check_choices(shape.member, each, name)
    elif (choices := getattr(shape, "enum", [])) and value not in choices:
        raise AwsError("InvalidParameterValue", f"The parameter {name} must be one of: {', '.join(choices)}.")


def serialize(request: Request, service: str, name: str | None, result: object) -> Response:
    """The response that carries `result` (members or an exception) in the request's own protocol."""
    model: ServiceModel = get_service_model(service)
    known = name in model.operation_names
    operation_model = model.operation_model(name) if known else OperationModel({}, model)
    try:
        protocol = determine_request_protocol(model, request.content_type)
    except NotImplementedError:
        protocol = str(model.protocol)
    serializer = get_serializer_class(model.service_name, protocol)(
        operation_model=operation_model, value_picker=XFormedAttributePicker()
    )
    answer = serializer.serialize(result)
    status = getattr(result, "status", None) or answer["status_code"]
    return Response(answer["body"], status, answer["headers"])
