import { type KeyboardEvent, useEffect, useId, useRef, useState } from 'react'
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
  const [isOpen, setOpen] = useState(false)
  const [refusal, setRefusal] = useState<NotAdded | null>(null)
  const [isBusy, setBusy] = useState(false)
  const input = useRef<HTMLInputElement>(null)
  const id = useId()
  const { matches: found, isSearching, error, text: searched } = useMatches(text.trim())
  const matches = isOpen ? found : []

  useEffect(() => {
    if (active >= 0) document.getElementById(`${id}${active}`)?.scrollIntoView({ block: 'nearest' })
  }, [id, active])

  function write(written: string) {
    setText(written)
    setActive(-1)
    setRefusal(null)
    setOpen(true)
  }

  async function submit(ticker: string, expectedVersion?: number) {
    if (!ticker || isBusy) return
    setBusy(true)
    const refused = await add({ ticker, ...(expectedVersion !== undefined && { expectedVersion }) })
    setBusy(false)
    if (!refused) return close()
    setText(ticker)
    setActive(-1)
    setOpen(false)
    setRefusal(refused)
    input.current?.focus()
  }

  function onKey(event: KeyboardEvent) {
    if (event.key === 'Escape' && matches.length) {
      event.preventDefault() // the list first, the dialog the next time
      setActive(-1)
      return setOpen(false)
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step === undefined || !found.length) return
    event.preventDefault()
    setOpen(true)
    const from = active < 0 && step < 0 ? 0 : active
    setActive((from + step + found.length) % found.length)
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
            aria-controls={id}
            aria-autocomplete="list"
            aria-activedescendant={active >= 0 && matches[active] ? `${id}${active}` : undefined}
            autoComplete="off"
            spellCheck={false}
            placeholder="AAPL, Apple, BTC-USD, EUR/USD"
            value={text}
            onKeyDown={onKey}
            onChange={({ target }) => write(target.value)}
          />
          <button type="submit" className="button primary" disabled={!text.trim()} aria-disabled={isBusy}>
            {isBusy ? 'Adding…' : 'Add'}
          </button>
        </div>
        <ul id={id} role="listbox" aria-label="What the provider has" hidden={!matches.length}>
          {matches.map((match, index) => (
            <li
              key={match.ticker}
              id={`${id}${index}`}
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
          {!isSearching && !error && searched && !found.length && text.trim() && 'The provider has nothing by that name.'}
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
