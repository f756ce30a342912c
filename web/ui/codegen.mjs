// schema.graphql and src/**/*.graphql → src/gql.ts: a type for every operation, and a document that carries it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { codegen } from '@graphql-codegen/core'
import * as documentNode from '@graphql-codegen/typed-document-node'
import * as operations from '@graphql-codegen/typescript-operations'
import { buildASTSchema, parse } from 'graphql'

const schema = parse(readFileSync('../../schema.graphql', 'utf8'))
const documents = readdirSync('src', { recursive: true })
  .filter((name) => name.endsWith('.graphql'))
  .sort()
  .map((name) => ({ location: name, document: parse(readFileSync(`src/${name}`, 'utf8')) }))

const generated = await codegen({
  filename: 'src/gql.ts',
  schema,
  schemaAst: buildASTSchema(schema),
  documents,
  plugins: [{ operations: {} }, { documentNode: {} }],
  pluginMap: { operations, documentNode },
  config: {
    enumType: 'string-literal',
    useTypeImports: true,
    skipTypename: false,
    strictScalars: true,
    scalars: { Cursor: 'string', Date: 'string', DateTime: 'string', Decimal: 'string' },
  },
})
writeFileSync('src/gql.ts', generated)
