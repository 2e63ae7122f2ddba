import { StartError } from '../../src/exit.ts'
import { openDatabase } from '../../src/store/sqlite/database/open-database.ts'

try {
  const database = openDatabase(process.argv[2] as string)
  console.log('open')
  await Bun.stdin.text()
  database.close()
} catch (error) {
  if (!(error instanceof StartError)) throw error
  process.exit(error.exitCode)
}
