import { useEffect, useState } from 'react'
import type { AnyVariables, TypedDocumentNode } from 'urql'
import { client, sentence } from './client'

export type Reading<Data> = { data: Data | undefined; error: string | undefined; retry: () => void }

/** What the service answers, read again whenever `turn` is another. What was read is held until then, of the same variables. */
export function useRead<Data, Variables extends AnyVariables>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables,
  turn: unknown,
): Reading<Data> {
  const asked = JSON.stringify(variables)
  const [answer, setAnswer] = useState<{ asked: string; data: Data | undefined; error: string | undefined }>()
  const [attempt, setAttempt] = useState(0)
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new turn or attempt is what makes it read again
  useEffect(() => {
    let isCurrent = true
    void client.query(document, JSON.parse(asked) as Variables).then(({ data, error }) => {
      if (isCurrent) setAnswer({ asked, data, error: error && sentence(error) })
    })
    return () => {
      isCurrent = false
    }
  }, [document, asked, turn, attempt])
  const current = answer?.asked === asked ? answer : undefined
  return { data: current?.data, error: current?.error, retry: () => setAttempt(attempt + 1) }
}
