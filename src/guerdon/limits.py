"""Every bound of the system: name (unit last), and why it is what it is."""

# Batches: past 256 items a batch gains little (measured) and holds its locks longer.
BATCH_ITEMS_MAX = 256
# Batches in flight over all tenants of a process: each takes a connection; more than a few only
# queue on cores.
BATCHES_IN_FLIGHT_MAX = 4
# Seconds that an item may wait for its batch, by the pace of the tenant's last one; what would wait
# longer is shed. Enough to keep every batch full, and little of the shortest deadline in use.
QUEUE_SECONDS_MAX = 0.25
# Items that may wait in a tenant's queue at whatever pace: four batches, since the pace of the last
# one says little of those far ahead.
QUEUE_ITEMS_MAX = 1024
# Items waiting over all tenants of a process: bounds its memory.
QUEUE_ITEMS_TOTAL_MAX = 8192
# Tries of one item within a call: stale versions, bisections of conflicts, lost acknowledgements.
ATTEMPTS_MAX = 4
# Seconds before a batch is sent again, growing with the square of the tries: a restart of Postgres
# is not waited out here, since the caller's own retry does that better.
RESEND_SECONDS_MIN = 0.05
# Seconds a caller who may try again is told to wait: at least as long as a full queue takes, and at
# most so long that all are back soon after a trouble has passed. Thousands of callers to a process
# need the most: with 5, their retries took a quarter of its work.
RETRY_AFTER_SECONDS_MIN = 0.5
RETRY_AFTER_SECONDS_MAX = 15.0
# Seconds that such waits are multiples of: equal answers are kept ready, so there must be few.
RETRY_AFTER_STEP_SECONDS = 0.1
# Callers that are let come back, for each call that is answered: an eighth costs a sixteenth of the
# work.
RETRIES_SHARE_MAX = 0.125
# The same a second, where little is answered: costs a process a few hundredths of its time.
RETRIES_PER_SECOND_MIN = 100.0
# Seconds between two looks at how many calls are answered.
RETRY_RATE_SECONDS = 0.5

# Seconds a call may take when the caller names no deadline, and at most.
DEADLINE_SECONDS_DEFAULT = 2.0
DEADLINE_SECONDS_MAX = 30.0
# Seconds a stream of facts may take: a million rows at the pace of one process.
STREAM_SECONDS_MAX = 600.0
# Seconds a batch may take in Postgres before its connection is given up: bounds how long capacity
# is held.
BATCH_SECONDS_MAX = 5.0
# Milliseconds the locking function waits for a row lock; set by the function itself.
LOCK_TIMEOUT_MILLISECONDS = 2000

# Seconds before a task that was told to end is told again; see serving/tasks.py.
CANCEL_AGAIN_SECONDS = 0.2
# Milliseconds between looks of Postgres, while a statement waits, at whether its server still
# lives:
# what a killed server had sent ends soon, and the retry elsewhere is not overtaken by it.
CLIENT_CHECK_MILLISECONDS = 100
# Connections of one process: the batches in flight, look-ups beside them, and the control plane.
POOL_CONNECTIONS_MAX = 10
# Seconds to wait for a free connection: past it the call is shed rather than queued a second time.
POOL_ACQUIRE_SECONDS_MAX = 1.0
# Seconds a transaction may sit idle before Postgres ends it: a frozen server must not hold a lock
# for long.
IDLE_TRANSACTION_SECONDS_MAX = 5.0

# Milliseconds an edit waits for its offer's lock. Waiters are served in turn, so a second is enough
# on the hottest offer; what waits longer met a stuck holder.
EDIT_LOCK_TIMEOUT_MILLISECONDS = 3000
# Tries of an edit without an etag when others edit the same offer at the same time.
EDIT_ATTEMPTS_MAX = 5

# Seconds between two signs of life of a connection that hears changes, and for one to be answered.
CHANGES_HEARTBEAT_SECONDS = 2.0
# Seconds before such a connection is made again: doubled with each failure, from and up to these.
CHANGES_RETRY_SECONDS_MIN = 0.1
CHANGES_RETRY_SECONDS_MAX = 5.0

# Seconds a cached offer, product or key may be used without being read again.
CATALOGUE_AGE_SECONDS_MAX = 10.0
# Offers and products that a process keeps beside the active ones: bounds its memory against scans.
CATALOGUE_MISSES_MAX = 10_000
# Offers in one read of the catalogue: each side then works for a few milliseconds at a time.
CATALOGUE_READ_ITEMS_MAX = 500
# Seconds after which a copy is checked again beside the calls that use it: at most half its age.
CATALOGUE_CHECK_SECONDS = 5.0
# Offers from which on a check asks Redis first: below it, Postgres is as quick.
CATALOGUE_SHELF_ITEMS_MIN = 20
# Tenants whose offers a process keeps; of more, those that were used least recently go.
CATALOGUE_TENANTS_MAX = 1000
# Keys that a process remembers to be good, and as many to be bad.
AUTHENTICATED_KEYS_MAX = 10_000
# Keys that are looked up in Postgres at once, and that may wait for it, before more are shed.
KEY_LOOKUPS_MAX = 2
KEY_LOOKUPS_WAITING_MAX = 1000

# Changes in one publication to Redis: done well within its time, so that a large push of products
# does not open the breaker that everybody shares.
PUBLICATION_ITEMS_MAX = 100
# Seconds Redis may take before the item goes on without it (the breaker's budget).
REDIS_TIMEOUT_SECONDS = 0.05
# The same for the copies of offers, which come many at a time and to nobody's call in particular.
REDIS_SHELF_TIMEOUT_SECONDS = 0.5
# Offers in one such call: a few hundred kilobytes.
REDIS_SHELF_ITEMS_MAX = 250
# Seconds a tenant's copies live in Redis when no offer of it is written: bounds its memory.
REDIS_SHELF_TTL_SECONDS = 24 * 3600
# Seconds the breaker stays open before one call tries Redis again.
REDIS_RETRY_SECONDS = 1.0
# Offers whose counters a process keeps for a Redis that is away: bounds its memory.
REDIS_UNTOLD_OFFERS_MAX = 10_000
# Seconds an offer's counters live in Redis untouched: bounds its memory.
REDIS_COUNTERS_TTL_SECONDS = 3600

# Bytes of one message: a full RedeemBatch or a push of 1,000 facts fits with room to spare.
MESSAGE_BYTES_MAX = 1024 * 1024
# Bytes of a call's metadata: a key, a trace and some slack.
METADATA_BYTES_MAX = 16 * 1024
# Bytes of the field violations in one error: clients drop answers with more than 8 KiB of metadata,
# where details travel as base64.
ERROR_DETAILS_BYTES_MAX = 4096
# Calls in progress in one process before the core turns more away without a word of ours: far above
# what the queues take, so it only bounds memory.
CALLS_IN_PROGRESS_MAX = 16_384
# Items of one RedeemBatch: less than half a batch, so that a caller never fills one alone.
REDEEM_BATCH_ITEMS_MAX = 100
# Facts in one push: a statement that holds its locks for well under a second.
FACTS_ITEMS_MAX = 1000
# Days that a fact may lie ahead of our clock: a zone's tomorrow and a wrong clock fit, and the days
# that a rule's window reads stay bounded.
FACTS_FUTURE_DAYS_MAX = 2
# Rows on a page of a list: by default, and at most.
PAGE_ROWS_DEFAULT = 50
PAGE_ROWS_MAX = 1000
# Offers that ListApplicableOffers shows when it is not told how many: a screen or two.
APPLICABLE_OFFERS_DEFAULT = 20

# Pieces in one line, and minor units of one price: their product must stay exact in JSON as well.
QUANTITY_PIECES_MAX = 1_000_000
UNIT_PRICE_MINOR_MAX = 10**15
# Minor units of a whole line: 2^53 - 1, the largest integer that every JSON reader keeps.
LINE_AMOUNT_MINOR_MAX = 2**53 - 1

# What a limit on uses may be at most: the wire and the usage rows count in 32 bits.
OFFER_USES_MAX = 2**31 - 1
# Offers that a quote without a named offer asks Postgres about: the best by savings, in one batch.
APPLICABLE_CANDIDATES_MAX = 256

# What one offer may list and how many rules it may have: a version is read and compiled as a whole.
OFFER_TARGETS_MAX = 1000
OFFER_ALLOWED_CUSTOMERS_MAX = 1000
OFFER_ALLOWED_ROLES_MAX = 100
OFFER_RULES_MAX = 64
# Days a rule's window may reach back: bounds the daily rows a rule reads.
RULE_WINDOW_DAYS_MAX = 366
# Days an account may be old for the rule new_user: a century, so that only nonsense is refused.
RULE_ACCOUNT_AGE_DAYS_MAX = 36_500
# What a rule may count up to: fits the integers of the rollups.
RULE_COUNT_MAX = 10**9

# Pieces in stock below which a quote says LOW_STOCK: few enough that waiting may mean missing out.
LOW_STOCK_PIECES = 10

# Seconds a stopping worker lets its calls finish: two batches and their retries, and less than the
# half minute that orchestrators give before they kill.
DRAIN_SECONDS_MAX = 15.0
# Seconds on top before the supervisor kills a worker that does not end by itself.
WORKER_END_SECONDS_MAX = 5.0
# Seconds in which a worker that serves must be heard of, by a report after each proof that it can
# write or cannot; and looks of so long in a row without one before it is replaced. A debugger may
# stop it for a moment, and a dependency that hangs is no silence.
WORKER_SILENT_LOOK_SECONDS = 5.0
WORKER_SILENT_LOOKS_MAX = 4
# Seconds a worker may take from its start until it serves, before it is replaced.
WORKER_START_SECONDS_MAX = 60.0
# Seconds before a worker that ended is started again: doubled with each failure, between these.
WORKER_RESTART_SECONDS_MIN = 0.1
WORKER_RESTART_SECONDS_MAX = 10.0
# Seconds a worker must have served for its next failure to count as the first again.
WORKER_STEADY_SECONDS = 30.0
# Bytes of one message between supervisor and worker: settings are a few kilobytes.
WORKER_MESSAGE_BYTES_MAX = 64 * 1024
# Seconds between two proofs that a worker can write, and for how long a proof counts.
WRITE_PROOF_SECONDS = 1.0
WRITE_PROOF_AGE_SECONDS_MAX = 5.0
# Rows that proofs are written to, so that many workers do not wait for each other.
WRITE_PROOF_SLOTS = 64
# Seconds a port may still be held by workers whose killed supervisor is being replaced.
PORT_WAIT_SECONDS_MAX = 3.0
# Seconds a scrape or health check may take to send its request.
MONITOR_REQUEST_SECONDS_MAX = 5.0
# Seconds between two exports of metrics to an OpenTelemetry collector, and for one export.
METRICS_EXPORT_SECONDS = 15.0
METRICS_EXPORT_SECONDS_MAX = 5.0
