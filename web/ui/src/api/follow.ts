import { stringifyDocument, type TypedDocumentNode } from 'urql'
import { subscribe } from './client'
import { era } from './connection'

const RETRY_MS = 3_000

/** `begin` reads what stands and says from where on to follow; null: it could not. Whatever is told from there on is heard.
 * Begins anew whenever that ends, and in a new era. */
export function follow<Data, Variables extends object>(
  document: TypedDocumentNode<Data, Variables>,
  begin: () => Promise<Variables | null>,
  hear: (data: Data) => void,
) {
  const query = stringifyDocument(document)
  let turn = 0
  let retry: ReturnType<typeof setTimeout> | undefined
  let unsubscribe = () => {}

  function leave() {
    turn += 1
    clearTimeout(retry)
    unsubscribe()
    unsubscribe = () => {}
  }

  async function start() {
    leave()
    const mine = turn
    const again = () => {
      if (mine !== turn) return
      clearTimeout(retry)
      retry = setTimeout(start, RETRY_MS)
    }
    const variables = await begin()
    if (mine !== turn) return
    if (!variables) return again()
    unsubscribe = subscribe(query, variables, { next: (data) => hear(data as Data), ended: again })
  }

  const forget = era.follow(start)
  void start()
  return {
    again: start,
    end: () => {
      forget()
      leave()
    },
  }
}
