import { type KeyboardEvent, useEffect, useRef, useState } from 'react'
import { client, sentence } from '../api/client'
import { SearchSymbolsDocument, type SearchSymbolsQuery } from '../gql'
import { Dialog } from '../kit/Dialog'
import { words } from '../kit/figures'
import { Badge, Button, Notice } from '../kit/kit'
import { add, type NotAdded } from './actions'

type Match = SearchSymbolsQuery['searchSymbols'][number]

const PAUSE_MS = 250

/** What the provider knows by that text, some time after the last key. */
function useMatches(text: string) {
  const [found, setFound] = useState<{ text: string; matches: readonly Match[]; error?: string }>({ text: '', matches: [] })
  useEffect(() => {
    if (!text) return
    let isCurrent = true
    const timer = setTimeout(async () => {
      const { data, error } = await client.query(SearchSymbolsDocument, { text })
      if (isCurrent) setFound({ text, matches: data?.searchSymbols ?? [], ...(error && { error: sentence(error) }) })
    }, PAUSE_MS)
    return () => {
      isCurrent = false
      clearTimeout(timer)
    }
  }, [text])
  return { ...found, matches: text ? found.matches : [], isSearching: text !== '' && found.text !== text }
}

/** A combobox over the provider's search; what is typed may be added as it is, too. */
export function AddSymbol({ close }: { close: () => void }) {
  const [text, setText] = useState('')
  const [active, setActive] = useState(-1)
  const [refusal, setRefusal] = useState<NotAdded | null>(null)
  const [isBusy, setBusy] = useState(false)
  const input = useRef<HTMLInputElement>(null)
  const { matches, isSearching, error, text: searched } = useMatches(text.trim())

  async function submit(ticker: string, expectedVersion?: number) {
    if (!ticker) return
    setBusy(true)
    const refused = await add({ ticker, ...(expectedVersion !== undefined && { expectedVersion }) })
    setBusy(false)
    if (!refused) return close()
    setRefusal(refused)
    setText(ticker)
    input.current?.focus()
  }

  function onKey(event: KeyboardEvent) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step === undefined || !matches.length) return
    event.preventDefault()
    setActive((active + step + matches.length + (active < 0 && step < 0 ? 1 : 0)) % matches.length)
  }

  return (
    <Dialog title="Add a symbol" close={close}>
      <form
        className="add-symbol"
        onSubmit={(event) => {
          event.preventDefault()
          void submit(matches[active]?.ticker ?? text.trim())
        }}
      >
        <div className="line">
          <input
            ref={input}
            className="input"
            role="combobox"
            aria-label="Ticker or name"
            aria-expanded={matches.length > 0}
            aria-controls="matches"
            aria-autocomplete="list"
            aria-activedescendant={active >= 0 && matches[active] ? `match-${active}` : undefined}
            autoComplete="off"
            spellCheck={false}
            autoFocus
            placeholder="AAPL, Apple, BTC-USD, EUR/USD"
            value={text}
            onKeyDown={onKey}
            onChange={({ target }) => {
              setText(target.value)
              setActive(-1)
              setRefusal(null)
            }}
          />
          <button type="submit" className="button primary" disabled={isBusy || !text.trim()}>
            {isBusy ? 'Adding…' : 'Add'}
          </button>
        </div>
        <ul id="matches" role="listbox" aria-label="What the provider has" hidden={!matches.length}>
          {matches.map((match, index) => (
            <li
              key={match.ticker}
              id={`match-${index}`}
              role="option"
              aria-selected={index === active}
              onClick={() => void submit(match.ticker)}
            >
              <b>{match.ticker}</b>
              <span className="name">{match.name}</span>
              <Badge>{words(match.assetClass)}</Badge>
              {match.isTracked && <Badge tone="good">tracked</Badge>}
            </li>
          ))}
        </ul>
        <p className="soft small" role="status">
          {isSearching && 'Searching …'}
          {!isSearching && error}
          {!isSearching && !error && searched && !matches.length && text.trim() && 'The provider has nothing by that name.'}
        </p>
        {refusal && (
          <Notice
            tone="warn"
            role="alert"
            actions={
              <>
                {refusal.version !== undefined && (
                  <Button kind="primary" onClick={() => void submit(text.trim(), refusal.version)}>
                    Track it again
                  </Button>
                )}
                {refusal.suggestions?.map((ticker) => (
                  <Button key={ticker} onClick={() => void submit(ticker)}>
                    {ticker}
                  </Button>
                ))}
              </>
            }
          >
            {refusal.text}
          </Notice>
        )}
      </form>
    </Dialog>
  )
}
