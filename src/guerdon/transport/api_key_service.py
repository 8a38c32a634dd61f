"""ApiKeyService: making and ending the tenant's keys."""

from guerdon.api.admin.v1 import api_key_service_pb2 as service_pb2
from guerdon.controlplane.api_keys import ApiKeys
from guerdon.domain.api_keys import prefix
from guerdon.limits import PAGE_ROWS_DEFAULT
from guerdon.ports import ApiKey
from guerdon.transport.call import Call
from guerdon.transport.values import read_optional_time, write_optional_time

SERVICE = service_pb2.DESCRIPTOR.services_by_name["ApiKeyService"]


class ApiKeyServicer:
    """Answers ApiKeyService. Messages have passed the pipeline."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    async def create_api_key(
        self, message: service_pb2.CreateApiKeyRequest, call: Call
    ) -> service_pb2.CreateApiKeyResponse:
        made = await self._keys.create(
            call.tenant_id,
            message.name,
            message.scopes,
            read_optional_time(message, "expire_time"),
        )
        return service_pb2.CreateApiKeyResponse(api_key=_write_key(made.key), secret=made.secret)

    async def list_api_keys(
        self, message: service_pb2.ListApiKeysRequest, call: Call
    ) -> service_pb2.ListApiKeysResponse:
        page = await self._keys.list_page(
            call.tenant_id, message.page_size or PAGE_ROWS_DEFAULT, message.page_token
        )
        return service_pb2.ListApiKeysResponse(
            api_keys=map(_write_key, page.keys), next_page_token=page.next_page_token
        )

    async def revoke_api_key(
        self, message: service_pb2.RevokeApiKeyRequest, call: Call
    ) -> service_pb2.RevokeApiKeyResponse:
        key = await self._keys.revoke(call.tenant_id, message.api_key_id)
        return service_pb2.RevokeApiKeyResponse(api_key=_write_key(key))


def _write_key(key: ApiKey) -> service_pb2.ApiKey:
    return service_pb2.ApiKey(
        api_key_id=key.key_id,
        name=key.name,
        prefix=prefix(key.tenant_id, key.key_id),
        scopes=key.scopes,
        create_time=write_optional_time(key.created_at),
        expire_time=write_optional_time(key.expires_at),
        revoke_time=write_optional_time(key.revoked_at),
    )
