import { useState } from 'react'
import { many } from '../kit/figures'
import { Choices, Failure, Panel, Skeletons } from '../kit/kit'
import { symbolFeed, useSymbols } from '../symbols/feed'
import { Asked, type AskedProps } from './Asked'
import { type Commands, start } from './commands'
import type { Session } from './feed'
import { asked, suggested, type Wish } from './starting'
import { TickerChoice } from './TickerChoice'

const ADVANCED = ['catchupThresholdSeconds', 'catchupCheckInterval', 'quarantineAfterSeconds'] as const
type Typed = 'date' | 'speed' | (typeof ADVANCED)[number]

export function StartPanel({ session, commands }: { session: Session; commands: Commands }) {
  const { state, error } = useSymbols()
  return (
    <Panel title="Start a session">
      {state === 'loading' && <Skeletons label="Loading the symbols" className="stack" number={2} height={90} />}
      {state === 'failed' && <Failure what="The symbols could not be read" error={error ?? ''} retry={symbolFeed.retry} />}
      {state === 'live' && <StartForm session={session} commands={commands} />}
    </Panel>
  )
}

function StartForm({ session, commands: { give, refusal, isUnderWay } }: { session: Session; commands: Commands }) {
  const [wish, setWish] = useState(() => suggested(session))
  const isReplay = wish.mode === 'REPLAY'
  const wrong = (name: keyof Wish) => (refusal?.field === name ? refusal.text : null)
  const input = (name: Typed, rest: Pick<AskedProps, 'label' | 'hint' | 'type' | 'step' | 'required' | 'placeholder'>) => (
    <Asked
      {...rest}
      wrong={wrong(name)}
      value={wish[name]}
      onChange={({ target }) => setWish({ ...wish, [name]: target.value })}
    />
  )
  return (
    <form
      className="start-session"
      onSubmit={(event) => {
        event.preventDefault()
        void give(start(asked(wish)))
      }}
    >
      <div className="line">
        <Choices
          label="What is run"
          name="session-mode"
          options={[
            ['REPLAY', 'Replay a day'],
            ['LIVE', 'Follow the present'],
          ]}
          value={wish.mode}
          onChange={(mode) => setWish({ ...wish, mode })}
        />
        <Choices
          label="When a symbol lags"
          name="session-gating"
          options={[
            ['SESSION', 'One laggard withholds all'],
            ['SYMBOL', 'A laggard is withheld alone'],
          ]}
          value={wish.gating}
          onChange={(gating) => setWish({ ...wish, gating })}
        />
      </div>
      {isReplay && (
        <div className="line">
          {input('date', { label: 'Trading day', type: 'date', hint: 'One that is over' })}
          {input('speed', {
            label: 'Speed',
            type: 'number',
            step: 'any',
            required: true,
            hint: 'Seconds of the session a second; 0: as fast as it goes',
          })}
        </div>
      )}
      <TickerChoice chosen={wish.tickers} choose={(tickers) => setWish({ ...wish, tickers })} wrong={wrong('tickers')} />
      <details open={ADVANCED.some((name) => wrong(name))}>
        <summary>When a symbol counts as behind</summary>
        <div className="line">
          {input('catchupThresholdSeconds', {
            label: 'Threshold',
            type: 'number',
            placeholder: 'as configured',
            hint: 'Seconds behind the session that are no lag yet',
          })}
          {input('catchupCheckInterval', {
            label: 'Checked every',
            type: 'number',
            placeholder: 'as configured',
            hint: '1 to 100 bars',
          })}
          {input('quarantineAfterSeconds', {
            label: 'Quarantine after',
            type: 'number',
            placeholder: 'never',
            hint: 'Seconds behind, then it is withheld alone',
          })}
        </div>
      </details>
      <div className="line">
        <button type="submit" className="button primary" disabled={isUnderWay}>
          {isUnderWay ? 'Starting…' : isReplay ? 'Start the replay' : 'Start following'}
        </button>
        <p className="soft small" role="status">
          {many(wish.tickers.size, 'symbol')} chosen
        </p>
      </div>
    </form>
  )
}
