import type { ReactNode } from 'react'
import { serviceNow } from '../api/clock'
import { Facts, Failure, Notice, Skeleton, Skeletons } from '../kit/kit'
import { Instant, useTicking } from '../kit/times'
import { FreshnessPanel } from './FreshnessPanel'
import { type About, type Health, useHealth } from './health'
import { LoopsPanel } from './LoopsPanel'
import { ProvidersPanel } from './ProvidersPanel'
import { QueuesPanel } from './QueuesPanel'
import { type Trouble, troubles } from './unwell'
import './service.css'

export default function ServicePage() {
  const { health, read } = useHealth()
  return (
    <div className="service stack">
      <h1>Service</h1>
      <Answer health={health} retry={() => void read()} />
    </div>
  )
}

function Answer({ health, retry }: { health: Health; retry: () => void }) {
  const { about, aboutError, standing, standingError } = health
  if (!about) {
    if (aboutError) return <Failure what="The service cannot be read" error={aboutError} retry={retry} />
    return <Loading />
  }
  return (
    <>
      {aboutError ? <Unheard health={health} retry={retry} /> : <Wellbeing found={troubles(about, standing)} />}
      {standingError && !aboutError && (
        <Failure what="The database cannot be read: providers, symbols and queues" error={standingError} retry={retry} />
      )}
      <Facts facts={facts(about)} />
      {standing ? (
        <div className="columns">
          <div className="stack">
            <ProvidersPanel providers={standing.providers} />
            <QueuesPanel queues={standing.queues} />
          </div>
          <FreshnessPanel classes={standing.freshness} thresholdHours={about.stalenessThresholdHours} />
        </div>
      ) : (
        !standingError && <Skeleton height={260} />
      )}
      <LoopsPanel loops={about.loops} />
    </>
  )
}

function Loading() {
  return (
    <>
      <Skeleton height={44} />
      <Skeletons className="columns" label="Loading how the service is doing" number={4} height={220} />
    </>
  )
}

function Unheard({ health, retry }: { health: Health; retry: () => void }) {
  const read = new Date(health.readAt).toLocaleTimeString()
  return <Failure what={`What you see was read at ${read}`} error={health.aboutError ?? ''} retry={retry} />
}

/** What is unwell, the worst first; said to screen readers when it changes. */
function Wellbeing({ found }: { found: readonly Trouble[] }) {
  return (
    <div className="stack wellbeing" role="status" aria-label="How the service is doing">
      {found.length === 0 && (
        <Notice tone="good" role="note">
          <b>All is well.</b>
        </Notice>
      )}
      {found.map(({ tone, text, until, why }) => (
        <Notice key={text} tone={tone} role="note">
          <b>
            <span aria-hidden>⚠ </span>
            {text}
            {until && (
              <>
                {' until '}
                <Instant at={until} />.
              </>
            )}
          </b>
          {why && <> {why}</>}
        </Notice>
      ))}
    </div>
  )
}

const facts = (about: About): (readonly [string, ReactNode])[] => [
  ['Service time', <ServiceTime key="time" />],
  ['Version', `${about.name} ${about.version}`],
  ['Database', { sqlite: 'SQLite', postgresql: 'PostgreSQL' }[about.database] ?? about.database],
  ['A symbol is fresh for', `${about.stalenessThresholdHours} h`],
]

/** Of a recorded market, that of the recording. */
function ServiceTime() {
  const now = useTicking(() => new Date(Math.floor(serviceNow() / 1000) * 1000).toISOString())
  return (
    <>
      <Instant at={now} only="date" />, <Instant at={now} only="time" />
    </>
  )
}
