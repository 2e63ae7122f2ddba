import { Database } from 'bun:sqlite'

const [path, ...statements] = process.argv.slice(2)
const database = new Database(path)
for (const statement of statements) database.run(statement)
process.kill(process.pid, 'SIGKILL')
