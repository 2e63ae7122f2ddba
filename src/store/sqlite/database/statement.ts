import type { Changes, Database } from 'bun:sqlite'
import {
  type Column,
  getTableColumns,
  is,
  Param,
  Placeholder,
  type SQL,
  sql,
  type Table,
} from 'drizzle-orm'

type Value = string | number | null

/** Values by the names of the statement's placeholders. */
export type Values = Readonly<Record<string, Value>>

/** A prepared statement. `Row` is what it answers, by the aliases of its columns. */
export type Statement<Row = never> = {
  run(values: Values): Changes
  get(values: Values): Row | undefined
  all(values: Values): Row[]
  /** One row after the other; whoever has enough leaves the loop. */
  iterate(values: Values): Iterable<Row>
}

/** What drizzle builds: a statement that tells its SQL. */
type Query = { toSQL(): { sql: string; params: unknown[] } }

/**
 * Prepares a statement that drizzle has written, to be run by bun:sqlite itself. drizzle's own
 * prepared statements take about twice the time on the way of a webhook, where it counts: see
 * test/bench/results.md.
 */
export function prepareStatement<Row>(client: Database, query: Query): Statement<Row> {
  const { sql, params } = query.toSQL()
  const statement = client.prepare<Row, Value[]>(sql)
  const slots = params.map(slotOf)
  const bind = (values: Values) => {
    const bound: Value[] = new Array(slots.length)
    for (let i = 0; i < slots.length; i++) {
      const slot = slots[i] as Slot
      bound[i] = slot.name === undefined ? slot.value : (values[slot.name] as Value)
    }
    return bound
  }
  return {
    run: (values) => statement.run(...bind(values)),
    get: (values) => statement.get(...bind(values)) ?? undefined,
    all: (values) => statement.all(...bind(values)),
    iterate: (values) => statement.iterate(...bind(values)),
  }
}

/** A placeholder, or a value that is always the same. */
type Slot = { name: string; value?: never } | { name: undefined; value: Value }

function slotOf(param: unknown): Slot {
  const inner = is(param, Param) ? param.value : param
  if (is(inner, Placeholder)) return { name: inner.name }
  return { name: undefined, value: inner as Value }
}

/** Whether a column's value is one of a JSON array of them: one statement then does for all. */
export function among(column: Column, placeholder: string): SQL {
  return sql`${column} IN (SELECT value FROM json_each(${sql.placeholder(placeholder)}))`
}

/** All columns of a table, each under the name that schema.ts gives it. */
export function columnsOf<T extends Table>(table: T) {
  const columns = Object.entries(getTableColumns(table))
  return Object.fromEntries(columns.map(([name, column]) => [name, sql`${column}`.as(name)])) as {
    [Name in keyof T['_']['columns']]: SQL.Aliased
  }
}
