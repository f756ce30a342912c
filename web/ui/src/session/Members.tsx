import { type FormEvent, useId, useRef, useState } from 'react'
import { Link } from 'wouter'
import { count, words } from '../kit/figures'
import { Badge, Button, Panel, Table } from '../kit/kit'
import { useSymbols } from '../symbols/feed'
import { symbolPath } from '../symbols/SymbolCard'
import { addSymbol, type Commands, removeSymbol, useCommands } from './commands'
import { isRunning, type Part, type Session } from './feed'
import { RefusalNotice } from './RefusalNotice'
import { duration, PHASES } from './told'

/** Who takes part, and how far each is; who comes and who goes. */
export function Members({ session }: { session: Session }) {
  const commands = useCommands()
  const add = useRef<HTMLInputElement>(null)
  const canChange = isRunning(session)
  const remove = async (ticker: string) => {
    if (await commands.give(removeSymbol(ticker))) add.current?.focus() // the button has gone with its row
  }
  return (
    <Panel title="Symbols" actions={canChange && <AddMember ref={add} session={session} commands={commands} />}>
      <div className="stack">
        <RefusalNotice refusal={commands.refusal} dismiss={commands.dismiss} />
        {session.symbols.length === 0 && <p className="soft">No symbol takes part: add one to go on.</p>}
        {session.symbols.length > 0 && (
          <Table label="Symbols of the session">
            <thead>
              <tr>
                <th scope="col">Symbol</th>
                <th scope="col">Phase</th>
                <th scope="col" className="number">
                  Behind
                </th>
                <th scope="col" className="number">
                  Bars
                </th>
                {canChange && (
                  <th scope="col">
                    <span className="unseen">What may be done</span>
                  </th>
                )}
              </tr>
            </thead>
            <tbody>
              {session.symbols.map((part) => (
                <Member key={part.ticker} part={part} commands={canChange ? commands : null} remove={remove} />
              ))}
            </tbody>
          </Table>
        )}
      </div>
    </Panel>
  )
}

type MemberProps = { part: Part; commands: Commands | null; remove: (ticker: string) => Promise<void> }

function Member({ part, commands, remove }: MemberProps) {
  const { ticker, phase, lagSeconds, barsProcessed, barsQueued, catchupThresholdSeconds, error } = part
  const [tone, meaning] = PHASES[phase]
  const blocked = commands?.isUnderWay ? 'The last command is still under way.' : undefined
  const isBehind = phase === 'LAGGING' || (phase === 'CATCHING_UP' && (lagSeconds ?? 0) > catchupThresholdSeconds)
  return (
    <tr>
      <th scope="row">
        <Link href={symbolPath(ticker)}>{ticker}</Link>
      </th>
      <td>
        <Badge tone={tone} title={meaning}>
          {words(phase)}
        </Badge>
        {error && <p className="member-error">{error}</p>}
        {error && commands && (
          <Button blocked={blocked} aria-label={`Try ${ticker} again`} onClick={() => void commands.give(addSymbol(ticker))}>
            Try again
          </Button>
        )}
      </td>
      <td className="number">
        <span className={isBehind ? 'behind' : ''}>{lagSeconds === null ? '–' : duration(lagSeconds)}</span>
        <p className="soft">allowed: {duration(catchupThresholdSeconds)}</p>
      </td>
      <td className="number">
        {count(barsProcessed)}
        <p className="soft">{count(barsQueued)} queued</p>
      </td>
      {commands && (
        <td className="number">
          <Button
            kind="quiet"
            blocked={blocked}
            aria-label={`Remove ${ticker}`}
            title={`Remove ${ticker}`}
            onClick={() => void remove(ticker)}
          >
            ✕
          </Button>
        </td>
      )}
    </tr>
  )
}

type AddMemberProps = { ref: React.Ref<HTMLInputElement>; session: Session; commands: Commands }

function AddMember({ ref, session, commands }: AddMemberProps) {
  const [text, setText] = useState('')
  const id = useId()
  const { symbols } = useSymbols()
  const others = [...symbols.values()].filter(({ ticker }) => session.symbols.every((part) => part.ticker !== ticker))
  async function submit(event: FormEvent) {
    event.preventDefault()
    if (await commands.give(addSymbol(text.trim()))) setText('')
  }
  return (
    <form className="session-actions" onSubmit={(event) => void submit(event)}>
      <input
        ref={ref}
        className="input add-member"
        aria-label="Symbol to add"
        placeholder="TSLA"
        list={id}
        autoComplete="off"
        spellCheck={false}
        required
        value={text}
        onChange={({ target }) => setText(target.value)}
      />
      <datalist id={id}>
        {others.map(({ ticker, name }) => (
          <option key={ticker} value={ticker}>
            {name}
          </option>
        ))}
      </datalist>
      <button type="submit" className="button" disabled={commands.isUnderWay}>
        Add
      </button>
    </form>
  )
}
