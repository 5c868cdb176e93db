"""Errors as the API shows them: metav1.Status documents (Kubernetes API conventions, "Error responses")."""

import json

REASONS = {400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound",
           405: "MethodNotAllowed", 406: "NotAcceptable", 409: "Conflict", 410: "Expired",
           413: "RequestEntityTooLarge", 415: "UnsupportedMediaType", 422: "Invalid",
           429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}


class ApiError(Exception):
    """An answer other than 2xx; 'details' and 'headers' are optional."""

    def __init__(self, code, message, reason=None, details=None, headers=None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason or REASONS.get(code, "Unknown")
        self.details = details
        self.headers = headers or {}

    def status(self):
        body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": self.message, "reason": self.reason, "code": self.code}
        if self.details:
            body["details"] = self.details
        return body

    def encode(self):
        return dumps(self.status()) + b"\n"


def dumps(value):
    """Compact UTF-8 JSON, keys in the order given."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def not_found(kind, name):
    return ApiError(404, f'{kind.qualified} "{name}" not found',
                    details={"name": name, "group": kind.group, "kind": kind.plural})


def conflict(kind, name, why=None):
    why = why or ("the object has been modified; please apply your changes to the latest version "
                  "and try again")
    return ApiError(409, f'Operation cannot be fulfilled on {kind.qualified} "{name}": {why}',
                    details={"name": name, "group": kind.group, "kind": kind.plural})


def already_exists(kind, name):
    return ApiError(409, f'{kind.qualified} "{name}" already exists', "AlreadyExists",
                    details={"name": name, "group": kind.group, "kind": kind.plural})


def invalid(kind, name, causes):
    """'causes' is a list of (field path, message)."""
    text = ", ".join(f"{field}: {message}" for field, message in causes)
    return ApiError(422, f'{kind.kind} "{name}" is invalid: {text}', details={
        "name": name, "group": kind.group, "kind": kind.kind,
        "causes": [{"reason": "FieldValueInvalid", "message": message, "field": field}
                   for field, message in causes]})


def gone(message, reason="Expired"):
    return ApiError(410, message, reason)
