// The last closes of the symbols that are on the screen: asked for together, when they come into sight.
import { useEffect, useRef, useState } from 'react'
import { client } from '../api/client'
import { SparksDocument } from '../gql'

const TOGETHER_MS = 60
const MOST = 100
const RETRY_MS = 3_000

type Spark = readonly number[]

const known = new Map<string, { asOf: string | null; closes: Spark }>()
let wanted = new Map<string, { asOf: string | null; give: (closes: Spark) => void }>()

async function ask() {
  const asked = [...wanted]
  wanted = new Map()
  for (let start = 0; start < asked.length; start += MOST) {
    const some = new Map(asked.slice(start, start + MOST))
    const { data } = await client.query(SparksDocument, { tickers: [...some.keys()] })
    if (!data) setTimeout(() => askAgain(some), RETRY_MS)
    for (const { ticker, bars } of data?.symbols.nodes ?? []) {
      const closes = bars.nodes.map(({ close }) => Number(close))
      const want = some.get(ticker)
      known.set(ticker, { asOf: want?.asOf ?? null, closes })
      want?.give(closes)
    }
  }
}

function askAgain(some: typeof wanted) {
  for (const [ticker, { asOf, give }] of some) if (!wanted.has(ticker)) want(ticker, asOf, give)
}

function want(ticker: string, asOf: string | null, give: (closes: Spark) => void) {
  const found = known.get(ticker)
  if (found?.asOf === asOf) return give(found.closes)
  if (!wanted.size) setTimeout(() => void ask(), TOGETHER_MS)
  wanted.set(ticker, { asOf, give })
}

/** The closes, once the element is in sight, and again whenever there are newer bars; null until then. */
export function useSpark(ticker: string, asOf: string | null) {
  const ref = useRef<HTMLDivElement>(null)
  const [isSeen, see] = useState(false)
  const [closes, setCloses] = useState<Spark | null>(null)
  useEffect(() => {
    const observer = new IntersectionObserver(([entry]) => entry?.isIntersecting && see(true), { rootMargin: '200px' })
    observer.observe(ref.current!)
    return () => observer.disconnect()
  }, [])
  useEffect(() => {
    if (isSeen) want(ticker, asOf, setCloses)
  }, [isSeen, ticker, asOf])
  return { ref, closes }
}
