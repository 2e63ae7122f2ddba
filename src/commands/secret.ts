import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import { encodeSecret } from '../domain/standard-webhooks.ts'
import type { VerbDeps } from './flags.ts'

/** As long as the hash; Standard Webhooks allows 24 to 64. */
const SECRET_BYTES = 32

/** Adds `secret`. */
export function addSecret(program: Command, { print }: VerbDeps): void {
  program
    .command('secret')
    .description('make a new secret, for a sender and for --webhook-secrets')
    .action(() => void print(`${encodeSecret(randomBytes(SECRET_BYTES))}\n`))
}
