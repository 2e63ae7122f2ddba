/** `GET /` for people: the same as for programs, with links. */

/** Nothing of the page runs, and it loads nothing. */
const POLICY =
  "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const OPEN_PATHS = [
  ['/swagger', 'the documentation of the API'],
  ['/readyz', 'what is checked'],
] as const

/** A browser sends no API key. */
const KEYED_PATHS = [
  ['/v1/transactions', 'the transactions, newest first'],
  ['/v1/transactions?status=FAILED', 'those that are FAILED'],
  ['/v1/conflicts', 'webhooks with a known id and other content'],
  ['/metrics', 'the metrics, for Prometheus'],
] as const

export type StatusPage = {
  httpStatus: number
  /** `HEALTHY` or `UNHEALTHY`. */
  status: string
  /** ISO 8601. */
  currentTime: string
  hasKeys: boolean
}

/** The page, with the status that the service has. */
export function statusPage({ httpStatus, status, currentTime, hasKeys }: StatusPage): Response {
  const links = [...OPEN_PATHS, ...(hasKeys ? [] : KEYED_PATHS)].map(
    ([path, text]) => `<li><a href="${path}">${path}</a>: ${text}</li>\n`,
  )
  const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>txhook: ${status}</title>
<link rel="icon" href="data:,">
<h1>txhook</h1>
<p><strong>${status}</strong> at <time>${currentTime}</time></p>
<ul>
${links.join('')}</ul>
</html>
`
  return new Response(page, {
    status: httpStatus,
    headers: {
      'content-type': 'text/html;charset=utf-8',
      'content-security-policy': POLICY,
      'referrer-policy': 'no-referrer',
    },
  })
}

/** Whether a request's `Accept` names HTML, as that of every browser does. */
export function wantsHtml(headers: Headers): boolean {
  const ranges = headers.get('accept')?.split(',') ?? []
  return ranges.some((range) => /^\s*text\/html\s*(?:;(?!\s*q=0(?:\.0*)?\s*$)|$)/i.test(range))
}
