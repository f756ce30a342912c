import { useState } from 'react'
import { Link } from 'wouter'
import { words } from '../kit/figures'
import { Badge, Button, Meter, Notice, type Tone } from '../kit/kit'
import { Ago } from '../kit/times'
import { symbolPath } from '../symbols/SymbolCard'
import { cancel, retry } from './actions'
import { isActive, isRetryable, type Job, whereabouts } from './jobs'
import './jobs.css'

const TONES: Record<Job['status'], Tone> = {
  PENDING: 'plain',
  PROCESSING: 'info',
  COMPLETED: 'good',
  PARTIAL: 'warn',
  FAILED: 'bad',
  CANCELLED: 'plain',
}

/** Of each ticker its job, or the word that it waits for a place in the queue. */
export function JobList({ label, jobs }: { label: string; jobs: readonly { ticker: string; job: Job | undefined }[] }) {
  return (
    <ul className="jobs" aria-label={label}>
      {jobs.map(({ ticker, job }) => (job ? <JobRow key={job.id} job={job} /> : <Waiting key={ticker} ticker={ticker} />))}
    </ul>
  )
}

function Waiting({ ticker }: { ticker: string }) {
  return (
    <li data-ticker={ticker}>
      <span className="who">{ticker}</span>
      <Badge>waiting</Badge>
      <p className="where soft">waits for a place in the queue</p>
    </li>
  )
}

/** `isOver`: a newer job of the same ticker is what counts. */
export function JobRow({ job, isOver = false }: { job: Job; isOver?: boolean }) {
  const [trouble, setTrouble] = useState<string | null>(null)
  const { ticker, status, error, finishedAt } = job
  const isKnown = status === 'COMPLETED' || status === 'PARTIAL'
  return (
    <li data-ticker={ticker}>
      <span className="who">{isKnown ? <Link href={symbolPath(ticker)}>{ticker}</Link> : ticker}</span>
      <Badge tone={TONES[status]}>{words(status)}</Badge>
      <div className="where">
        {isActive(job) && <Meter label={`Progress of ${ticker}`} percent={job.progressPercent} />}
        <p className="soft">
          {isActive(job) ? whereabouts(job) : finishedAt && <Ago at={finishedAt} />}
          {error && <span className="error">{error}</span>}
        </p>
      </div>
      {isActive(job) && (
        <Button kind="quiet" aria-label={`Cancel ${ticker}`} onClick={async () => setTrouble(await cancel(job))}>
          Cancel
        </Button>
      )}
      {isRetryable(job) && !isOver && (
        <Button aria-label={`Retry ${ticker}`} onClick={async () => setTrouble(await retry(job))}>
          Retry
        </Button>
      )}
      {trouble && (
        <Notice tone="warn" role="alert" actions={<Button onClick={() => setTrouble(null)}>Dismiss</Button>}>
          {trouble}
        </Notice>
      )}
    </li>
  )
}
