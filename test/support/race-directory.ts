import { StartError } from '../../src/exit.ts'
import { type OpenDatabase, openDatabase } from '../../src/store/sqlite/database/open-database.ts'

// Opens the directory of each line that comes in, says how that went, and closes it at the next.
let open: OpenDatabase | undefined
console.log('ready')
for await (const directory of console) {
  open?.close()
  open = undefined
  let result = 'closed'
  if (directory !== '') {
    try {
      open = openDatabase(directory)
      result = 'open'
    } catch (error) {
      result = error instanceof StartError ? `refused ${error.exitCode}` : String(error)
    }
  }
  console.log(result)
}
