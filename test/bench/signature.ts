import { Webhook } from 'standardwebhooks'
import { encodeSecret, parseSecret, signatureFault } from '../../src/domain/standard-webhooks.ts'
import { webhook } from './processes.ts'
import { type Measurement, median, type Options } from './table.ts'

const CALLS = 20_000
const ROUNDS_PER_ROUND = 5

/** What it costs a webhook to be signed: its three headers are read, and its HMAC is compared. */
export async function measureSignature(
  _txhook: string,
  { rounds }: Options,
): Promise<Measurement[]> {
  const body = new TextEncoder().encode(String(webhook('0123456789abcdef-123456789-123456').body))
  const secrets = ['a', 'b', 'c'].map((char) => encodeSecret(Buffer.from(char.repeat(32))))
  const keys = secrets.map((secret) => parseSecret(secret) ?? fail())
  const library = new Webhook(secrets.at(-1) ?? fail())
  const now = Date.now()
  const signed = {
    'webhook-id': 'msg_0123456789abcdef',
    'webhook-timestamp': String(Math.floor(now / 1000)),
    'webhook-signature': library.sign('msg_0123456789abcdef', new Date(now), Buffer.from(body)),
  }
  const headers = await received({ 'content-type': 'application/json', ...signed }, body)
  const text = Buffer.from(body)
  // The last of the keys has signed, so that all of them are tried.
  const checked = (keys: readonly Uint8Array[]) => () =>
    signatureFault(headers, body, keys, now) === undefined || fail()
  const ways = {
    one: checked(keys.slice(-1)),
    three: checked(keys),
    library: () => library.verify(text, signed, { jsonParse: false }),
  }

  const us: Record<keyof typeof ways, number[]> = { one: [], three: [], library: [] }
  const names = Object.keys(ways) as (keyof typeof ways)[]
  // The first round is there to be compiled.
  for (let round = 0; round <= rounds * ROUNDS_PER_ROUND; round++) {
    for (const name of names) {
      const began = performance.now()
      for (let call = 0; call < CALLS; call++) ways[name]()
      if (round > 0) us[name].push(((performance.now() - began) * 1e3) / CALLS)
    }
  }
  const [one, three, theirs] = names.map((name) => median(us[name]).toFixed(1))
  return [
    {
      figure: 'signature of a webhook',
      value: `${one} µs`,
      reach: '10 µs',
      detail:
        `${body.length} bytes, one secret; ${three} µs with three secrets, of which the last ` +
        `signed; ${theirs} µs by the library standardwebhooks`,
    },
  ]
}

/** Headers as the app gets them: out of a request that came over a socket. */
async function received(sent: Record<string, string>, body: Uint8Array): Promise<Headers> {
  const { promise, resolve } = Promise.withResolvers<Headers>()
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch({ headers }) {
      resolve(headers)
      return new Response()
    },
  })
  await fetch(server.url, { method: 'POST', headers: sent, body })
  await server.stop(true)
  return promise
}

function fail(): never {
  throw new Error('A signature is not taken.')
}
