"""The control plane of offers: fields, etags, status, pages, over a real Postgres."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from guerdon.adapters.postgres.connection import Database
from guerdon.controlplane.offers import Offers, OfferView
from guerdon.domain.errors import (
    CodeAlreadyUsed,
    EtagMismatch,
    FieldsInvalid,
    NotFound,
    OfferAlreadyExists,
    OfferInvalid,
    PageTokenInvalid,
    StatusTransitionIllegal,
)
from guerdon.domain.identifiers import OfferId, TenantId
from guerdon.domain.offers import OfferStatus
from guerdon.domain.rules import WrittenRule
from guerdon.domain.written_offers import WrittenOffer, WrittenProduct
from tests.support.control import make_offers, written
from tests.support.ledger import insert_tenant, new_id

YESTERDAY = datetime.now(UTC) - timedelta(days=1)


@pytest.fixture
async def tenant_id(shared_owner: asyncpg.Connection) -> TenantId:
    return await insert_tenant(shared_owner)


@pytest.fixture
def offers(shared_database: Database) -> Offers:
    return make_offers(shared_database)


class Admin:
    """One tenant's admin; updates name the fields that they give."""

    def __init__(self, offers: Offers, tenant_id: TenantId) -> None:
        self.offers = offers
        self.tenant_id = tenant_id

    async def create(self, **fields: Any) -> OfferView:
        return await self.offers.create(self.tenant_id, written(**fields), "admin")

    async def update(self, view: OfferView, etag: str = "", **fields: Any) -> OfferView:
        said = WrittenOffer(**fields)
        return await self.offers.update(
            self.tenant_id, view.offer_id, said, list(fields), etag, "admin"
        )

    async def move(self, view: OfferView, status: OfferStatus, etag: str = "") -> OfferView:
        return await self.offers.change_status(self.tenant_id, view.offer_id, status, etag, "admin")

    async def get(self, view: OfferView) -> OfferView:
        return await self.offers.get(self.tenant_id, view.offer_id)


@pytest.fixture
def admin(offers: Offers, tenant_id: TenantId) -> Admin:
    return Admin(offers, tenant_id)


def paths(error: FieldsInvalid) -> list[str]:
    return [violation.path for violation in error.violations]


async def test_what_is_created_is_what_is_read(admin: Admin) -> None:
    view = await admin.create(
        code="SAVE50",
        rules=(WrittenRule(rule_type="min_spent", params={"amount": 5000, "window_days": 30}),),
        allowed_roles=("vip",),
    )
    assert await admin.get(view) == view
    assert view.version == 1
    assert view.written.rules[0].params == {"amount": 5000, "window_days": 30}
    assert view.written.audience_mode == "listed"
    assert view.record.created_by == "admin"


async def test_an_offer_of_a_wanted_id_is_created_once(offers: Offers, tenant_id: TenantId) -> None:
    offer_id = OfferId(new_id())
    await offers.create(tenant_id, written(), "a", offer_id)
    with pytest.raises(OfferAlreadyExists):
        await offers.create(tenant_id, written(), "a", offer_id)


async def test_everything_that_is_wrong_is_told_at_once_and_nothing_is_written(
    admin: Admin, offers: Offers
) -> None:
    with pytest.raises(FieldsInvalid) as wrong:
        await admin.create(
            title="",
            discount_value=900,
            rules=(WrittenRule(rule_type="new_user", params={}),),
            starts_at=YESTERDAY,
            ends_at=YESTERDAY,
        )
    assert len(paths(wrong.value)) == len(set(paths(wrong.value))) == 4
    assert (await offers.list_page(admin.tenant_id, None, 10, "")).offers == []


async def test_an_offer_starts_as_a_draft_or_one_step_from_it(admin: Admin) -> None:
    assert (await admin.create(status="")).written.status == "draft"
    assert (await admin.create(status="scheduled")).written.status == "scheduled"
    with pytest.raises(StatusTransitionIllegal):
        await admin.create(status="paused")
    with pytest.raises(OfferInvalid) as wrong:
        await admin.create(ends_at=YESTERDAY, starts_at=None)
    assert paths(wrong.value) == ["offer.ends_at"]


async def test_an_update_changes_the_named_fields_alone(admin: Admin) -> None:
    view = await admin.create(code="SAVE50", per_user_limit=1, total_usage_limit=10)
    after = await admin.update(view, title="New", per_user_limit=None)
    assert (after.version, after.written.title, after.written.per_user_limit) == (2, "New", None)
    assert (after.written.code, after.written.total_usage_limit) == ("SAVE50", 10)
    assert await admin.get(view) == after
    assert after.etag != view.etag


async def test_an_update_that_changes_nothing_is_no_version(admin: Admin) -> None:
    view = await admin.create(total_usage_limit=10)
    assert await admin.update(view, total_usage_limit=10) == view


async def test_fields_that_nobody_may_change_are_refused_by_name(admin: Admin) -> None:
    view = await admin.create()
    for name in ("status", "version", "usage_count", "no_field"):
        with pytest.raises(FieldsInvalid) as wrong:
            await admin.offers.update(
                admin.tenant_id, view.offer_id, WrittenOffer(), [name], "", "admin"
            )
        assert paths(wrong.value) == ["update_mask"]
        assert name in wrong.value.violations[0].description


async def test_product_ids_replace_the_products(admin: Admin) -> None:
    first, second = str(new_id()), str(new_id())
    view = await admin.create(
        apply_to="operator_product", products=(WrittenProduct(product_id=first, max_uses=3),)
    )
    after = await admin.update(view, product_ids=(second,))
    assert [product.product_id for product in after.written.products] == [second]


async def test_listing_people_closes_the_offer_and_listing_nobody_does_not_open_it(
    admin: Admin,
) -> None:
    view = await admin.create()
    listed = await admin.update(view, allowed_roles=("vip",))
    assert listed.written.audience_mode == "listed"
    with pytest.raises(OfferInvalid):
        await admin.update(listed, allowed_roles=())
    assert (await admin.get(view)).written.allowed_roles == ("vip",)
    opened = await admin.update(listed, allowed_roles=(), audience_mode="everyone")
    assert opened.written.audience_mode == "everyone"


async def test_an_etag_that_is_not_the_offers_changes_nothing(admin: Admin) -> None:
    view = await admin.create()
    after = await admin.update(view, view.etag, title="First")
    with pytest.raises(EtagMismatch):
        await admin.update(view, view.etag, title="Second")
    with pytest.raises(EtagMismatch):
        await admin.move(view, OfferStatus.PAUSED, view.etag)
    assert await admin.get(view) == after


async def test_updates_at_the_same_time_all_happen_without_etag_and_one_with(admin: Admin) -> None:
    view = await admin.create()
    fields: list[dict[str, Any]] = [
        {"title": "T"}, {"description": "D"}, {"priority": 4}, {"total_usage_limit": 9},
    ]  # fmt: skip
    await asyncio.gather(*(admin.update(view, **each) for each in fields))
    after = await admin.get(view)
    assert after.version == 5
    assert (after.written.title, after.written.description) == ("T", "D")
    assert (after.written.priority, after.written.total_usage_limit) == (4, 9)
    outcomes = await asyncio.gather(
        *(admin.update(view, after.etag, title=f"T{number}") for number in range(4)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, OfferView) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, EtagMismatch) for outcome in outcomes) == 3


async def test_a_code_of_another_offer_is_refused(admin: Admin) -> None:
    await admin.create(code="SAVE50")
    view = await admin.create(code="OTHER")
    with pytest.raises(CodeAlreadyUsed):
        await admin.update(view, code="save50")
    with pytest.raises(CodeAlreadyUsed):
        await admin.create(code="Save50")


async def test_a_status_goes_by_the_life_cycle_and_staying_is_no_version(admin: Admin) -> None:
    view = await admin.create(status="draft")
    active = await admin.move(view, OfferStatus.ACTIVE)
    assert await admin.move(view, OfferStatus.ACTIVE) == active
    paused = await admin.move(view, OfferStatus.PAUSED)
    assert (paused.version, paused.written.status) == (3, "paused")
    await admin.move(view, OfferStatus.CANCELLED)
    with pytest.raises(StatusTransitionIllegal):
        await admin.move(view, OfferStatus.ACTIVE)


async def test_going_live_tells_everything_that_stands_in_the_way(admin: Admin) -> None:
    view = await admin.create(status="draft", ends_at=YESTERDAY, audience_mode="listed")
    with pytest.raises(OfferInvalid) as wrong:
        await admin.move(view, OfferStatus.ACTIVE)
    assert paths(wrong.value) == ["offer.audience_mode", "offer.ends_at"]
    assert (await admin.get(view)).version == 1


async def test_a_live_offer_that_ended_may_still_be_reworded(
    admin: Admin, shared_owner: asyncpg.Connection
) -> None:
    view = await admin.create()
    await shared_owner.execute(
        "update guerdon.offers set ends_at = $1 where offer_id = $2", YESTERDAY, view.offer_id
    )
    assert (await admin.update(view, internal_note="over")).written.internal_note == "over"
    with pytest.raises(OfferInvalid):
        await admin.update(view, ends_at=YESTERDAY - timedelta(days=1), audience_mode="listed")


async def test_pages_show_each_offer_once_and_their_tokens_fit_no_other_list(
    admin: Admin, offers: Offers, shared_owner: asyncpg.Connection
) -> None:
    views = [await admin.create(title=f"Offer {number}") for number in range(5)]
    await admin.move(views[2], OfferStatus.PAUSED)
    titles: list[str] = []
    token = ""
    while True:
        page = await offers.list_page(admin.tenant_id, None, 2, token)
        titles += [view.written.title for view in page.offers]
        token = page.next_page_token
        if not token:
            break
        last = token
    assert titles == [f"Offer {number}" for number in (4, 3, 2, 1, 0)]
    paused = await offers.list_page(admin.tenant_id, OfferStatus.PAUSED, 2, "")
    assert [view.offer_id for view in paused.offers] == [views[2].offer_id]
    other = await insert_tenant(shared_owner)
    for tenant_id, status, token in (
        (admin.tenant_id, OfferStatus.PAUSED, last),
        (other, None, last),
        (admin.tenant_id, None, last[:-8] + "AAAAAAAA"),
        (admin.tenant_id, None, "not a token"),
    ):
        with pytest.raises(PageTokenInvalid):
            await offers.list_page(tenant_id, status, 2, token)


async def test_another_tenants_offer_is_not_found(
    admin: Admin, offers: Offers, shared_owner: asyncpg.Connection
) -> None:
    view = await admin.create()
    stranger = Admin(offers, await insert_tenant(shared_owner))
    for attempt in (
        stranger.get(view),
        stranger.update(view, title="Mine"),
        stranger.move(view, OfferStatus.PAUSED),
    ):
        with pytest.raises(NotFound) as missing:
            await attempt
        assert missing.value.kind == "offer"
    assert await admin.get(view) == view
