/** What Bun embeds: `with { type: 'text' }` gives the content, `{ type: 'file' }` a path to it. */
declare module '*.sql' {
  const text: string
  export default text
}
declare module 'swagger-ui-dist/*' {
  const path: string
  export default path
}
declare module '*/licenses.txt' {
  const text: string
  export default text
}
