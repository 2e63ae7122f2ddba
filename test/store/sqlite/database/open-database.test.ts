import { describe, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { EXIT, StartError } from '../../../../src/exit.ts'
import { APPLICATION_ID, MIGRATIONS } from '../../../../src/store/sqlite/database/migrations.ts'
import { openDatabase } from '../../../../src/store/sqlite/database/open-database.ts'
import { openElsewhere } from '../../../support/processes.ts'
import { temporaryDirectory } from '../../../support/service.ts'
import { firstValue } from '../../../support/store.ts'

/** The exit code that opening this directory comes to. */
function exitCode(dataDir: string): number {
  try {
    openDatabase(dataDir).close()
    return EXIT.done
  } catch (error) {
    if (error instanceof StartError) return error.exitCode
    throw error
  }
}

describe('a data directory', () => {
  test('is made with its parents, and the database in it', () => {
    using directory = temporaryDirectory()
    const dataDir = join(directory.path, 'a/b/c')
    const database = openDatabase(dataDir)
    expect(database.migrated).toEqual(MIGRATIONS.map(({ tag }) => tag))
    database.close()
    // Closed, all there is stands in the one file.
    const names = ['txhook.db', 'txhook.db-shm', 'txhook.db-wal', 'txhook.lock']
    expect(readdirSync(dataDir).sort()).toEqual(names)
    expect(readFileSync(join(dataDir, 'txhook.db-wal'))).toHaveLength(0)
    const header = readFileSync(join(dataDir, 'txhook.db'))
    expect(header.readUInt32BE(60)).toBe(MIGRATIONS.length)
    expect(header.readUInt32BE(68)).toBe(APPLICATION_ID)
  })

  test('that is there already is opened with nothing to migrate', () => {
    using directory = temporaryDirectory()
    openDatabase(directory.path).close()
    const again = openDatabase(directory.path)
    expect(again.migrated).toEqual([])
    again.close()
  })

  test.each([['data'], ['data/deeper']])(
    'can’t be made where a file is in the way, which ends with code 1: %s',
    (path) => {
      using directory = temporaryDirectory()
      writeFileSync(join(directory.path, 'data'), 'a file')
      expect(exitCode(join(directory.path, path))).toBe(EXIT.fault)
      expect(readFileSync(join(directory.path, 'data'), 'utf8')).toBe('a file')
    },
  )

  test.each([['txhook.db'], ['txhook.lock']])(
    'where a directory is in the place of %s ends with code 1',
    (name) => {
      using directory = temporaryDirectory()
      mkdirSync(join(directory.path, name))
      expect(exitCode(directory.path)).toBe(EXIT.fault)
    },
  )
})

describe('the owner of a data directory', () => {
  test('is one: a second one in the same process ends with code 3 until the first lets go', () => {
    using directory = temporaryDirectory()
    const first = openDatabase(directory.path)
    expect(exitCode(directory.path)).toBe(EXIT.inUse)
    // Nor did the failed one take the lock away.
    expect(exitCode(directory.path)).toBe(EXIT.inUse)
    first.client.run('CREATE TABLE still_works (x ANY) STRICT')
    first.close()
    expect(exitCode(directory.path)).toBe(EXIT.done)
  })

  test('is one: a second process ends with code 3 until the first lets go', async () => {
    using directory = temporaryDirectory()
    const first = openDatabase(directory.path)
    expect((await openElsewhere(directory.path)).refused).toBe(EXIT.inUse)
    first.close()

    const other = await openElsewhere(directory.path)
    expect(other.refused).toBeUndefined()
    expect(exitCode(directory.path)).toBe(EXIT.inUse)
    await other.end('cleanly')
    expect(exitCode(directory.path)).toBe(EXIT.done)
  })

  test('that was killed leaves no lock behind', async () => {
    using directory = temporaryDirectory()
    const other = await openElsewhere(directory.path)
    expect(exitCode(directory.path)).toBe(EXIT.inUse)
    await other.end('killed')
    expect(exitCode(directory.path)).toBe(EXIT.done)
  })

  test('keeps it when the garbage is collected', async () => {
    using directory = temporaryDirectory()
    const first = openDatabase(directory.path)
    Bun.gc(true)
    Bun.gc(true)
    expect((await openElsewhere(directory.path)).refused).toBe(EXIT.inUse)
    first.close()
  })

  test('lets go of it when it can’t open the database', () => {
    using directory = temporaryDirectory()
    const path = join(directory.path, 'txhook.db')
    writeFileSync(path, 'This is no database.')
    expect(exitCode(directory.path)).toBe(EXIT.foreignDatabase)
    writeFileSync(path, '')
    expect(exitCode(directory.path)).toBe(EXIT.done)
  })
})

describe('an open database', () => {
  test('says in the file itself whose it is, although its log is still beside it', async () => {
    using directory = temporaryDirectory()
    const other = await openElsewhere(directory.path)
    const header = readFileSync(join(directory.path, 'txhook.db'))
    expect([header.readUInt32BE(60), header.readUInt32BE(68)]).toEqual([
      MIGRATIONS.length,
      APPLICATION_ID,
    ])
    await other.end('killed')
  })

  test('has the settings that durability and speed rest on', () => {
    using directory = temporaryDirectory()
    openDatabase(directory.path).close()
    const { client, close } = openDatabase(directory.path)
    const settings = {
      journal_mode: 'wal',
      // NORMAL: the sync of a commit is the commit queue's.
      synchronous: 1,
      foreign_keys: 1,
      busy_timeout: 200,
      cache_size: -262_144,
      wal_autocheckpoint: 0,
      journal_size_limit: 134_217_728,
      temp_store: 2,
    }
    for (const [name, value] of Object.entries(settings)) {
      expect([name, firstValue(client, `PRAGMA ${name}`)]).toEqual([name, value])
    }
    close()
  })

  test('syncs its log, and a failing sync rejects', async () => {
    using directory = temporaryDirectory()
    const { client, sync, close } = openDatabase(directory.path)
    client.run('CREATE TABLE notes (x ANY) STRICT')
    expect(await sync()).toBeUndefined()
    close()
    await expect(sync()).rejects.toThrow('EBADF')
  })
})
