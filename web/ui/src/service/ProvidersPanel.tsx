import { count, many } from '../kit/figures'
import { Badge, Facts, Panel, type Tone } from '../kit/kit'
import { Ago, Instant } from '../kit/times'
import type { Provider } from './health'
import { CLASSES } from './unwell'

const CIRCUITS: Record<Provider['circuit'], readonly [Tone, string, string]> = {
  CLOSED: ['good', '●', 'answering'],
  OPEN: ['bad', '■', 'not asked'],
  HALF_OPEN: ['warn', '◐', 'being tried'],
}

export function ProvidersPanel({ providers }: { providers: readonly Provider[] }) {
  return (
    <Panel title="Providers">
      <ul className="providers">
        {providers.map((provider) => (
          <OneProvider key={provider.name} provider={provider} />
        ))}
      </ul>
    </Panel>
  )
}

function OneProvider({ provider }: { provider: Provider }) {
  const { name, assetClasses, circuit, retryAt, consecutiveFailures, lastError, callsLeftThisMinute, callsLeftToday } = provider
  const [tone, sign, text] = CIRCUITS[circuit]
  return (
    <li className={tone}>
      <h3>
        {name}
        <Badge tone={tone}>
          <span aria-hidden>{sign}</span> {text}
        </Badge>
      </h3>
      <p className="soft small">{assetClasses.map((each) => CLASSES[each]).join(', ')}</p>
      {retryAt && (
        <p>
          Asked again <Ago at={retryAt} />, on <Instant at={retryAt} />.
        </p>
      )}
      {lastError && <p className="small">Its last error: {lastError}</p>}
      <Facts
        facts={[
          ['Failures', consecutiveFailures ? `${count(consecutiveFailures)} in a row` : 'none'],
          ['Left this minute', left(callsLeftThisMinute)],
          ['Left today', left(callsLeftToday)],
        ]}
      />
    </li>
  )
}

const left = (calls: number | null) => (calls === null ? 'no limit' : many(calls, 'call'))
