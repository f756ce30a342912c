// What others do to symbols, in words, for who does not see it: gathered, so that a flood is one sentence.
import { useEffect, useState } from 'react'
import { many, words } from '../kit/figures'
import { isOwn } from './actions'
import { type Change, symbolFeed } from './feed'

const GATHER_MS = 3_000
const MOST_NAMED = 3

const HEADS: Partial<Record<Change['kind'], (symbol: Change['symbol']) => string>> = {
  ADDED: () => 'Added',
  REMOVED: () => 'Removed',
  REFRESHED: () => 'Refreshed',
  REFRESH_FAILED: () => 'Could not be refreshed',
  STATUS_CHANGED: ({ status }) => `Now ${words(status)}`,
}

/** `Refreshed: BA.` or `Refreshed: 120 symbols. Removed: DIS.` */
export function told(changes: readonly Change[]): string {
  const about = new Map<string, Set<string>>()
  for (const { kind, symbol } of changes) {
    const head = HEADS[kind]?.(symbol)
    if (head) about.set(head, (about.get(head) ?? new Set()).add(symbol.ticker))
  }
  const who = (tickers: Set<string>) => (tickers.size > MOST_NAMED ? many(tickers.size, 'symbol') : [...tickers].join(', '))
  return [...about].map(([head, tickers]) => `${head}: ${who(tickers)}.`).join(' ')
}

/** At most one text every few seconds. */
export function useNews(): string {
  const [news, setNews] = useState('')
  useEffect(() => {
    let heard: Change[] = []
    let timer: ReturnType<typeof setTimeout> | undefined
    const tell = () => {
      timer = undefined
      setNews(told(heard))
      heard = []
    }
    const unwatch = symbolFeed.watch((change) => {
      if (!HEADS[change.kind] || isOwn(change.symbol.ticker)) return
      heard.push(change)
      timer ??= setTimeout(tell, GATHER_MS)
    })
    return () => {
      unwatch()
      clearTimeout(timer)
    }
  }, [])
  return news
}
