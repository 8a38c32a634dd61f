"""Errors on their way to an answer; what nobody expected goes to the log as well."""

import uuid

import structlog

from guerdon.telemetry import LOG_KEY_ID, LOG_METHOD, LOG_REQUEST_ID, LOG_TENANT_ID
from guerdon.transport.call import Call
from guerdon.transport.errors import ErrorAnswer, Wait, answer_error, is_defect

log = structlog.get_logger(__name__)


def report_error(error: BaseException, method: str, call: Call | None, wait: Wait) -> ErrorAnswer:
    """The answer to an error. A defect is logged in full, under the id that its answer tells."""
    if not is_defect(error):
        return answer_error(error, "", wait)
    server_request_id = uuid.uuid4().hex
    fields = {LOG_METHOD: method, LOG_REQUEST_ID: server_request_id}
    if call is not None:
        fields |= {LOG_TENANT_ID: str(call.tenant_id), LOG_KEY_ID: call.caller.key_id}
    log.error("call_failed", exc_info=error, **fields)
    return answer_error(error, server_request_id, wait)
