import { useId, useState } from 'react'
import { Button } from '../kit/kit'
import { wished } from '../symbols/board'
import { useSymbols } from '../symbols/feed'

type TickerChoiceProps = {
  chosen: ReadonlySet<string>
  choose: (tickers: ReadonlySet<string>) => void
  wrong: string | null
}

/** Any number of the tracked symbols. */
export function TickerChoice({ chosen, choose, wrong }: TickerChoiceProps) {
  const id = useId()
  const [text, setText] = useState('')
  const { symbols } = useSymbols()
  const found = wished(symbols.values(), { text, assetClass: '', staleOnly: false, order: 'ticker' })
  const toggle = (ticker: string) => {
    const now = new Set(chosen)
    if (!now.delete(ticker)) now.add(ticker)
    choose(now)
  }
  return (
    <fieldset className="ticker-choice" aria-describedby={wrong === null ? undefined : id}>
      <legend>Symbols</legend>
      <div className="line">
        <input
          className="input"
          type="search"
          aria-label="Find symbols by ticker or name"
          placeholder="Ticker or name"
          value={text}
          onChange={({ target }) => setText(target.value)}
        />
        {chosen.size > 0 && <Button onClick={() => choose(new Set())}>Choose none</Button>}
      </div>
      {wrong !== null && (
        <p id={id} className="wrong" role="alert">
          {wrong}
        </p>
      )}
      <ul className="chips" aria-label="Tracked symbols">
        {found.map(({ ticker, name }) => (
          <li key={ticker}>
            <label title={name ?? undefined}>
              <input className="unseen" type="checkbox" checked={chosen.has(ticker)} onChange={() => toggle(ticker)} />
              <span aria-hidden>{chosen.has(ticker) ? '✓' : '+'}</span>
              {ticker}
            </label>
          </li>
        ))}
      </ul>
      {!found.length && <p className="soft small">None of them fits.</p>}
    </fieldset>
  )
}
