// Monaco's workers, as files of this origin.
import type {} from 'monaco-editor'
import EditorWorker from 'monaco-editor/esm/vs/editor/editor.worker.js?worker'
import JsonWorker from 'monaco-editor/esm/vs/language/json/json.worker.js?worker'
import GraphQLWorker from 'monaco-graphql/esm/graphql.worker.js?worker'

const WORKERS: Record<string, new () => Worker> = { json: JsonWorker, graphql: GraphQLWorker }

self.MonacoEnvironment = { getWorker: (_, label) => new (WORKERS[label] ?? EditorWorker)() }
