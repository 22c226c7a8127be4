"""The HTTP side of the AWS API: who asks for what, who answers it, and errors in AWS's shape."""

from __future__ import annotations

import io
import json
import logging
import socket
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from moto.core.exceptions import ServiceException
from moto.core.routing import get_service_router
from moto.core.utils import get_service_model, service_name_from_moto_package_name
from moto.moto_server.werkzeug_app import BackendRequest, DomainDispatcherApplication, create_backend_app
from werkzeug.exceptions import HTTPException
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Response

from sandbox import faults
from sandbox.aws import rules, signatures
from sandbox.aws.account_state import OWN_SERVICES, AccountState
from sandbox.aws.operations import (
    MAINTENANCE,
    OPERATIONS,
    RECOVERIES,
    AwsError,
    InternalFailureError,
    UnimplementedError,
    parse,
    serialize,
)
from sandbox.errors import SandboxError
from sandbox.instance import REGION, Instance
from sandbox.processes import log_path, wait

log = logging.getLogger("aws-api")

# Operations that change nothing, so that nothing has to be written after them.
READING = ("Describe", "Get", "List", "Head", "Lookup", "Search", "Simulate", "Filter")
# Their requests are signed for us-east-1, whatever the client's region.
GLOBAL_SERVICES = ("iam", "sts")


# How a service that is asked too often says so, by its protocol; the others like "json".
THROTTLING = {
    "ec2": ("RequestLimitExceeded", HTTPStatus.SERVICE_UNAVAILABLE),
    "query": ("Throttling", HTTPStatus.BAD_REQUEST),
    "json": ("ThrottlingException", HTTPStatus.BAD_REQUEST),
}


def _inject(instance: Instance, fault: faults.Fault, service: str) -> None:
    """Let a request meet its fault before anything is done."""
    log.info("fault %d of the sandbox: %s", fault.id, fault.kind)
    error = None
    if fault.kind == "slow":
        wait(lambda: fault.id not in [each.id for each in faults.read(instance)], fault.seconds)
    elif fault.kind == "throttle":
        code, status = THROTTLING.get(str(get_service_model(service).protocol), THROTTLING["json"])
        error = AwsError(code, f"Rate exceeded (fault {fault.id} of the sandbox)")
        error.status = status
    elif fault.kind in ("error", "cut"):  # the latter's reaches nobody
        error = AwsError("InternalFailure", f"An internal error has occurred (fault {fault.id} of the sandbox).")
        error.status = HTTPStatus.INTERNAL_SERVER_ERROR
    if error:
        raise error


class AwsApi:
    """The WSGI application. One request of a service at a time: neither moto nor the tables are thread-safe."""

    def __init__(self, account: AccountState) -> None:
        self.account = account
        self.moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        return self._respond(environ, body)(environ, start_response)

    def _respond(self, environ: dict[str, Any], body: bytes) -> Response:
        if environ["PATH_INFO"] == "/sandbox/health":
            return Response('{"status": "ok"}\n', content_type="application/json")
        if environ["PATH_INFO"] == "/sandbox/token-review":
            review = signatures.review_token(self.account.instance, body)
            return Response(json.dumps(review), content_type="application/json")
        jobs = {"/sandbox/recover": RECOVERIES, "/sandbox/maintenance": MAINTENANCE}.get(environ["PATH_INFO"])
        if jobs and environ["REQUEST_METHOD"] == "POST":
            return self._run(jobs)
        started = time.monotonic()
        request = BackendRequest(environ)
        request.get_data()
        service, name, fault = "sts", None, None
        try:
            service, name, url_parameters = self._identify(request, environ, body)
            fault = faults.strike(self.account.instance, service, name)
            if fault:
                _inject(self.account.instance, fault, service)
            with self.account.locks[service]:
                response = self._perform(request, environ, service, name, url_parameters)
        except ServiceException as error:
            response = serialize(request, service, name, error)
        except Exception as error:
            if not isinstance(error, SandboxError):
                log.exception("%s %s failed", service, name)
            cause = f"{error} (log: {log_path(self.account.instance, 'aws-api')})"
            response = serialize(request, service, name, InternalFailureError(f"{service}:{name}", cause))
        if fault and fault.kind in ("cut", "cut-after"):  # whatever the answer is
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        log.info("%s %s %d %.3f s", service, name, response.status_code, time.monotonic() - started)
        return response

    def _run(self, jobs: dict[str, Callable[[AccountState], None]]) -> Response:
        """Do a job for every service that has one; the answer is the one line of what is in the way."""
        try:
            for service, job in jobs.items():
                with self.account.locks[service]:
                    try:
                        job(self.account)
                        self.account.save(service)
                    except Exception:
                        self.account.restore(service)
                        raise
        except Exception as error:
            if not isinstance(error, SandboxError):
                log.exception("a job of the sandbox failed")
            return Response(f"{error}\n", status=HTTPStatus.INTERNAL_SERVER_ERROR, content_type="text/plain")
        return Response('{"status": "ok"}\n', content_type="application/json")

    def _identify(
        self, request: BackendRequest, environ: dict[str, Any], body: bytes
    ) -> tuple[str, str, dict[str, Any]]:
        """Service and operation of a request that the sandbox's credentials signed, and parameters in its path."""
        url = request.host_url + environ["RAW_URI"].lstrip("/")  # as it was sent: an ARN in a path stays quoted
        region, signing_name = signatures.check_request(request.method, url, dict(request.headers), body)
        host = self.moto.infer_service_region_host(environ, request.path)
        service = service_name_from_moto_package_name(self.moto.get_backend_for_host(host) or signing_name)
        environ["wsgi.input"] = io.BytesIO(body)
        if region != REGION and service not in GLOBAL_SERVICES:
            raise AwsError("InvalidRegion", f"the sandbox has one region, {REGION}; the request is for {region}")
        try:
            operation_model, url_parameters = get_service_router(service).match(request)
        except HTTPException as error:
            raise UnimplementedError(service, f"{request.method} {request.path}") from error
        return service, str(operation_model.name), url_parameters

    def _perform(
        self, request: BackendRequest, environ: dict[str, Any], service: str, name: str, url_parameters: dict[str, Any]
    ) -> Response:
        """Let the sandbox's own operation answer, else moto, and keep what changed; a failure changes nothing."""
        try:
            own = OPERATIONS.get((service, name))
            parameters = (
                parse(request, service, name, url_parameters) if own or (service, name) in rules.table() else {}
            )
            rules.check(self.account, service, name, parameters)
            if own:
                response = serialize(request, service, name, own(self.account, parameters))
            else:
                response = self._ask_moto(environ, service, name)
            if response.status_code < HTTPStatus.BAD_REQUEST and not name.startswith(READING):
                self.account.save(service)
        except Exception as error:
            self.account.restore(service)
            if service in RECOVERIES and not isinstance(error, ServiceException):
                RECOVERIES[service](self.account)
            raise
        return response

    def _ask_moto(self, environ: dict[str, Any], service: str, name: str) -> Response:
        if service in OWN_SERVICES:
            raise UnimplementedError(service, name)
        try:
            content, status, headers = run_wsgi_app(self.moto, environ, buffered=True)
        except NotImplementedError as error:
            raise UnimplementedError(service, name) from error
        response = Response(content, status, headers)
        if response.status_code >= HTTPStatus.BAD_REQUEST and response.mimetype == "text/html":
            raise UnimplementedError(service, name)
        return response
