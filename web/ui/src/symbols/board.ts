// Which symbols the board shows, and in which order.
import type { AssetClass } from '../gql'
import type { Card } from './feed'

export const ORDERS = ['ticker', 'oldest', 'price', 'levels'] as const
export type Order = (typeof ORDERS)[number]

export type Wish = { text: string; assetClass: AssetClass | ''; staleOnly: boolean; order: Order }

const updated = ({ lastUpdated }: Card) => (lastUpdated ? new Date(lastUpdated).getTime() : 0)

const COMPARE: Record<Order, ((one: Card, other: Card) => number) | null> = {
  ticker: null, // as they come
  oldest: (one, other) => updated(one) - updated(other),
  price: (one, other) => Number(other.lastPrice ?? 0) - Number(one.lastPrice ?? 0),
  levels: (one, other) => other.levelCount - one.levelCount,
}

export function wished(symbols: Iterable<Card>, { text, assetClass, staleOnly, order }: Wish): Card[] {
  const word = text.trim().toLowerCase()
  const found = [...symbols].filter(
    (symbol) =>
      (!assetClass || symbol.assetClass === assetClass) &&
      (!staleOnly || symbol.isStale) &&
      (!word || symbol.ticker.toLowerCase().includes(word) || (symbol.name ?? '').toLowerCase().includes(word)),
  )
  const compare = COMPARE[order]
  return compare ? found.sort(compare) : found
}
