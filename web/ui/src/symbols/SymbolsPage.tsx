import { useDeferredValue, useMemo, useState } from 'react'
import { AddSymbol } from './AddSymbol'
import { ORDERS, type Order, type Wish, wished } from './board'
import { symbolFeed, useSymbols } from './feed'
import { useNews } from './news'
import { SymbolCard } from './SymbolCard'
import './symbols.css'
import type { AssetClass } from '../gql'
import { many, words } from '../kit/figures'
import { Button, Choices, Empty, Failure, Skeletons } from '../kit/kit'
import { useStored } from '../kit/stored'

const VIEWS = ['cards', 'rows'] as const
const CLASSES: readonly AssetClass[] = ['STOCK', 'ETF', 'CRYPTO', 'FOREX', 'INDEX']
const ORDER_WORDS: Record<Order, string> = {
  ticker: 'By ticker',
  oldest: 'Oldest first',
  price: 'Highest price',
  levels: 'Most levels',
}
const EVERYTHING = { text: '', assetClass: '', staleOnly: false } as const

export function SymbolsPage() {
  const { state, error, symbols } = useSymbols()
  const [view, setView] = useStored('symbols.view', VIEWS, 'cards')
  const [order, setOrder] = useStored('symbols.order', ORDERS, 'ticker')
  const [wish, setWish] = useState<Omit<Wish, 'order'>>(EVERYTHING)
  const [isAdding, setAdding] = useState(false)
  const news = useNews()
  const current = useDeferredValue(wish)
  const shown = useMemo(() => wished(symbols.values(), { ...current, order }), [symbols, current, order])
  const stale = useMemo(() => [...symbols.values()].filter(({ isStale }) => isStale).length, [symbols])

  return (
    <>
      <div className="page-head">
        <h1>Symbols</h1>
        <p className="soft" role="status">
          {state === 'live' && symbols.size > 0 && `${many(symbols.size, 'symbol')}, ${stale ? `${stale} stale` : 'all fresh'}`}
          {state === 'live' && shown.length < symbols.size && `; ${shown.length} shown`}
        </p>
        <Button kind="primary" onClick={() => setAdding(true)}>
          Add a symbol
        </Button>
      </div>
      <form className="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <input
          className="input"
          type="search"
          placeholder="Ticker or name"
          aria-label="Find by ticker or name"
          value={wish.text}
          onChange={({ target }) => setWish({ ...wish, text: target.value })}
        />
        <select
          className="input"
          aria-label="Asset class"
          value={wish.assetClass}
          onChange={({ target }) => setWish({ ...wish, assetClass: target.value as AssetClass | '' })}
        >
          <option value="">All classes</option>
          {CLASSES.map((one) => (
            <option key={one} value={one}>
              {words(one)}
            </option>
          ))}
        </select>
        <select className="input" aria-label="Order" value={order} onChange={({ target }) => setOrder(target.value as Order)}>
          {ORDERS.map((one) => (
            <option key={one} value={one}>
              {ORDER_WORDS[one]}
            </option>
          ))}
        </select>
        <label className="check">
          <input
            type="checkbox"
            checked={wish.staleOnly}
            onChange={({ target }) => setWish({ ...wish, staleOnly: target.checked })}
          />
          Stale only
        </label>
        <Choices
          label="Show as"
          name="view"
          options={[
            ['cards', 'Cards'],
            ['rows', 'Rows'],
          ]}
          value={view}
          onChange={setView}
        />
      </form>
      {state === 'failed' && <Failure what="The symbols could not be read" error={error ?? ''} retry={symbolFeed.retry} />}
      {state === 'loading' && (
        <Skeletons label="Loading the symbols" className={`board ${view}`} number={12} height={view === 'cards' ? 216 : 62} />
      )}
      {state === 'live' && (
        <ul className={`board ${view}`} aria-label="Symbols">
          {shown.map((symbol) => (
            <SymbolCard key={symbol.ticker} symbol={symbol} />
          ))}
        </ul>
      )}
      {state === 'live' && !symbols.size && (
        <Empty title="No symbols yet">
          <p>Add one by its ticker or name, or import a portfolio.</p>
          <Button kind="primary" onClick={() => setAdding(true)}>
            Add a symbol
          </Button>
        </Empty>
      )}
      {state === 'live' && symbols.size > 0 && !shown.length && (
        <Empty title="None of them fits">
          <Button onClick={() => setWish(EVERYTHING)}>Show all</Button>
        </Empty>
      )}
      <p className="unseen" role="status" aria-label="What others do">
        {news}
      </p>
      {isAdding && <AddSymbol close={() => setAdding(false)} />}
    </>
  )
}
