/** Names and addresses of hosts, as in the header Host and in URLs. */

const HOST = /^(\[[\da-f:.]+\]|[\p{L}\p{N}_.%-]+)(?::\d*)?$/iu

/**
 * The name or address in `HOST` or `HOST:PORT`, in the form that URLs give it: lower case, an IPv6
 * address in brackets, no dot at the end. Undefined where the text has another form, as the joined
 * values of two headers.
 */
export function hostName(text: string): string | undefined {
  const host = HOST.exec(text)?.[1]
  return host && URL.parse(`http://${host}`)?.hostname.replace(/\.$/, '')
}

/** Whether a `hostName` is the machine itself for every browser (RFC 6761, 6.3). */
export function isLoopback(name: string): boolean {
  return /^(?:(?:.+\.)?localhost|127\.\d+\.\d+\.\d+|\[::1\]|\[::ffff:7f..:.+\])$/.test(name)
}
