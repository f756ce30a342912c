import { useMemo } from 'react'
import { useFirst } from '../kit/first'
import { Empty, Failure, Panel, Skeletons } from '../kit/kit'
import { onboardingFeed, useOnboarding } from './feed'
import { JobRow } from './JobList'
import { inOrder, isActive, type Job, newestByTicker } from './jobs'

const FIRST = 10

/** The queue as it is for everybody, and what has ended of late. */
export function QueuePanel() {
  const { state, error, depth, maxDepth, maxConcurrent, jobs } = useOnboarding()
  const sorted = useMemo(() => inOrder(jobs.values()), [jobs])
  const newest = useMemo(() => newestByTicker(jobs.values()), [jobs])
  const active = sorted.filter(isActive)
  const [ended, more] = useFirst(
    sorted.filter((job) => !isActive(job)),
    FIRST,
  )
  const isOver = (job: Job) => newest.get(job.ticker)?.id !== job.id
  return (
    <Panel
      title="The queue"
      actions={
        <p className="soft small">
          {state === 'live' && `${depth} of ${maxDepth} places taken, ${maxConcurrent} worked at a time`}
        </p>
      }
    >
      {state === 'failed' && <Failure what="The queue could not be read" error={error ?? ''} retry={onboardingFeed.retry} />}
      {state === 'loading' && <Skeletons label="Loading the queue" number={4} height={44} className="stack" />}
      {state === 'live' && (
        <div className="stack">
          <section>
            <h3>Under way</h3>
            <ul className="jobs" aria-label="Under way">
              {active.map((job) => (
                <JobRow key={job.id} job={job} />
              ))}
            </ul>
            {!active.length && <p className="soft">Nothing is being onboarded.</p>}
          </section>
          <section>
            <h3>Ended</h3>
            <ul className="jobs" aria-label="Ended">
              {ended.map((job) => (
                <JobRow key={job.id} job={job} isOver={isOver(job)} />
              ))}
            </ul>
            {!ended.length && <Empty title="None yet">Symbols that have been onboarded are listed here for 30 days.</Empty>}
            {more}
          </section>
        </div>
      )}
    </Panel>
  )
}
