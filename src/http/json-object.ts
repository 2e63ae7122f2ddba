/** Reads bodies that are a JSON object, other than webhooks. */

import type { Config } from '../config/read-config.ts'
import { parseStrictJson } from '../domain/strict-json.ts'
import type { JsonObject } from '../domain/transaction.ts'
import { type BodyHold, readBody, requireJson } from './body.ts'
import { Problem, type ProblemPart } from './problem.ts'

export type JsonBodyDeps = {
  config: Pick<Config, 'maxBodyBytes'>
  /** Begins to count a body with all others under way. */
  holdBody(): BodyHold
}

/**
 * The object that is a request's body; where it is no object, an empty one and an error.
 *
 * @throws Problem unsupported_media_type, body_too_large, overloaded, invalid_json
 */
export async function readJsonObject(
  request: Request,
  { config, holdBody }: JsonBodyDeps,
  errors: ProblemPart[],
): Promise<JsonObject> {
  requireJson(request.headers)
  const hold = holdBody()
  try {
    const parsed = parseStrictJson(await readBody(request, config.maxBodyBytes, hold))
    if (!parsed.ok) throw new Problem('invalid_json', parsed.message)
    return objectAt('', parsed.value, errors)
  } finally {
    hold.release()
  }
}

/** The object at a path of a body; where there is none, an empty one and an error. */
export function objectAt(path: string, value: unknown, errors: ProblemPart[]): JsonObject {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as JsonObject
  errors.push(wrongType(path, value, 'a JSON object'))
  return {}
}

/** What a value that is missing or of another type is answered. */
export function wrongType(path: string, value: unknown, expected: string): ProblemPart {
  if (value === undefined) return { path, code: 'required', message: 'is missing' }
  return { path, code: 'type', message: `must be ${expected}` }
}
