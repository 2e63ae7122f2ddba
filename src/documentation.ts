/** What the docs page and `serve --help` both say. */
export const CIRCUIT_BREAKER = `After ten calls in a row have failed, the circuit breaker opens: calls are held
back, transactions wait as PENDING, and one call at a time probes the target: after 1 s or as late as
Retry-After says, then after twice as long each time, up to 30 s. A probe is an attempt. Probes alternate
between the newest and the oldest hundred due jobs, and take the one with the fewest attempts. The first
success closes the breaker: then one call may be under way, one more with each success, up to
--concurrency. A status that makes a transaction FAILED at once counts as a success of the target.`

export const LIMITS = `A request must arrive within 10 s, its URL within 8,000 characters, its body within
--max-body-bytes. Between two requests a connection is kept for 80 s. 10,000 webhooks may wait for the
disk, 128 MiB of bodies may be under way, and 100 lists and bulk retries; further ones get 503
overloaded. Connections are limited by the limit of open files (ulimit -n).`
