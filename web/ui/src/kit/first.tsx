import { useState } from 'react'
import { count } from './figures'
import { Button } from './kit'

/** The first of many, and a button for more of them; null when all are there. */
export function useFirst<Item>(items: readonly Item[], step: number) {
  const [most, setMost] = useState(step)
  const left = items.length - most
  const more =
    left > 0 ? (
      <Button onClick={() => setMost(most + step)}>
        Show {count(Math.min(step, left))} more of {count(items.length)}
      </Button>
    ) : null
  return [items.slice(0, most), more] as const
}
