import { join } from 'node:path'

const script = (name: string) => join(import.meta.dir, name)

/**
 * Runs statements in a process of its own that then kills itself: leaves the database as a crash
 * does, with its write-ahead log or its rollback journal beside it.
 */
export function abandonDatabase(path: string, ...statements: string[]): void {
  const command = [process.execPath, script('abandon-database.ts'), path, ...statements]
  const { signalCode, stderr } = Bun.spawnSync(command)
  if (signalCode !== 'SIGKILL') throw new Error(`The process did not get to its end: ${stderr}`)
}

/** Whether a command can be run here and succeeds: some tests need rights or programs for theirs. */
export function succeeds(...command: string[]): boolean {
  try {
    return Bun.spawnSync(command).exitCode === 0
  } catch {
    return false
  }
}

/** Another process that opened a data directory, or that failed to. */
export type Opener = {
  /** The exit code of the refusal; undefined: it has the directory, and keeps it. */
  refused: number | undefined
  /** Lets it go on to a clean end, or kills it; resolves when it is gone. */
  end(how: 'cleanly' | 'killed'): Promise<void>
}

/** Has another process open a data directory as the service does. */
export async function openElsewhere(dataDir: string): Promise<Opener> {
  const child = Bun.spawn([process.execPath, script('open-directory.ts'), dataDir], {
    stdin: 'pipe',
    stdout: 'pipe',
  })
  const { done } = await child.stdout.getReader().read()
  return {
    refused: done ? await child.exited : undefined,
    async end(how) {
      if (how === 'cleanly') await child.stdin.end()
      else child.kill('SIGKILL')
      await child.exited
    },
  }
}

/** A process that opens one data directory after the other, each when it is sent its name. */
export type Racer = {
  /** Closes what is open, opens the directory unless the line is empty, and says how that went. */
  send(line: string): Promise<string>
  end(): Promise<void>
}

/** Resolves when the process, run under a command, waits for its first line. */
export async function startRacer(under: readonly string[]): Promise<Racer> {
  const child = Bun.spawn([...under, process.execPath, script('race-directory.ts')], {
    stdin: 'pipe',
    stdout: 'pipe',
  })
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader()
  const answer = async () => (await reader.read()).value?.trimEnd() ?? 'ended'
  await answer()
  return {
    async send(line) {
      child.stdin.write(`${line}\n`)
      await child.stdin.flush()
      return answer()
    },
    async end() {
      child.kill('SIGKILL')
      await child.exited
    },
  }
}
