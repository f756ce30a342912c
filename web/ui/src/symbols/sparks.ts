// The last closes of the symbols that are on the screen: asked for together, while they are in sight.
import { useEffect, useRef, useState } from 'react'
import { client } from '../api/client'
import { era } from '../api/connection'
import { SparksDocument } from '../gql'

const TOGETHER_MS = 60
const RETRY_MS = 3_000
const MOST = 100

type Spark = readonly number[]
type Wish = { asOf: string | null; give: (closes: Spark) => void }

const known = new Map<string, { asOf: string | null; closes: Spark }>()
const wishes = new Map<string, Wish>()
let isAsking = false

era.follow(() => known.clear())

/** Gives the closes when they are there; not, once it is taken back. */
function wish(ticker: string, asOf: string | null, give: Wish['give']): () => void {
  const found = known.get(ticker)
  if (found?.asOf === asOf) {
    give(found.closes)
    return () => {}
  }
  const mine = { asOf, give }
  wishes.set(ticker, mine)
  if (!isAsking) setTimeout(ask, TOGETHER_MS)
  isAsking = true
  return () => {
    if (wishes.get(ticker) === mine) wishes.delete(ticker)
  }
}

/** One request at a time: what is wished for meanwhile goes into the next. */
async function ask() {
  const asked = new Map([...wishes].slice(0, MOST))
  const data = asked.size ? (await client.query(SparksDocument, { tickers: [...asked.keys()] })).data : undefined
  const found = new Map(data?.symbols.nodes.map(({ ticker, bars }) => [ticker, bars.nodes.map(({ close }) => Number(close))]))
  for (const [ticker, mine] of data ? asked : []) {
    const closes = found.get(ticker) ?? []
    known.set(ticker, { asOf: mine.asOf, closes })
    if (wishes.get(ticker) !== mine) continue
    wishes.delete(ticker)
    mine.give(closes)
  }
  isAsking = wishes.size > 0
  if (isAsking) setTimeout(ask, data ? TOGETHER_MS : RETRY_MS)
}

const onSight = new WeakMap<Element, (isSeen: boolean) => void>()
const sight = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) onSight.get(target)?.(isIntersecting)
  },
  { rootMargin: '200px' },
)

/** The closes, once the element is in sight, and again when there are newer bars while it is; null until then. */
export function useSpark(ticker: string, asOf: string | null) {
  const ref = useRef<HTMLDivElement>(null)
  const [closes, setCloses] = useState<Spark | null>(null)
  useEffect(() => {
    const element = ref.current!
    let takeBack = () => {}
    onSight.set(element, (isSeen) => {
      takeBack()
      takeBack = isSeen ? wish(ticker, asOf, setCloses) : () => {}
    })
    sight.observe(element)
    return () => {
      sight.unobserve(element)
      takeBack()
    }
  }, [ticker, asOf])
  return { ref, closes }
}
