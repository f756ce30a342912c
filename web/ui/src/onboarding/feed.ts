// The onboarding queue as it is for everybody: read, then followed from there. The one place that holds jobs.
import { useSyncExternalStore } from 'react'
import { client, sentence } from '../api/client'
import { OnboardingDocument, OnboardingProgressDocument } from '../gql'
import { soon } from '../kit/soon'
import { howFar, type Job } from './jobs'

export type Queue = {
  state: 'loading' | 'live' | 'failed'
  error: string | null
  depth: number
  maxDepth: number
  maxConcurrent: number
  /** By id. */
  jobs: ReadonlyMap<string, Job>
}

const RETRY_MS = 3_000
/** A step of one job moves the places and the estimates of others, of which no event tells. */
const LOOK_AGAIN_MS = 400

class OnboardingFeed {
  #queue: Queue = { state: 'loading', error: null, depth: 0, maxDepth: 0, maxConcurrent: 0, jobs: new Map() }
  readonly #listeners = new Set<() => void>()
  readonly #watchers = new Set<(job: Job) => void>()
  #unfollow: (() => void) | undefined

  get = () => this.#queue

  follow = (listener: () => void) => {
    this.#listeners.add(listener)
    if (this.#listeners.size === 1) void this.#start()
    return () => {
      this.#listeners.delete(listener)
      if (!this.#listeners.size) this.#stop()
    }
  }

  /** Calls for every single step, while somebody follows. */
  watch = (watcher: (job: Job) => void) => {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  /** What an answer or an event tells of jobs. */
  learn = (...told: Job[]) => {
    this.#set({ jobs: this.#with(told) })
    this.#lookAgain()
  }

  retry = () => {
    this.#set({ state: 'loading', error: null })
    void this.#start()
  }

  async #start() {
    const cursor = await this.#read()
    if (!cursor || this.#unfollow || !this.#listeners.size) return
    this.#unfollow = client.subscription(OnboardingProgressDocument, { after: cursor }).subscribe(({ data, error }) => {
      if (data) {
        const { job } = data.onboardingProgress
        this.learn(job)
        for (const watcher of this.#watchers) watcher(job)
      } else if (error) {
        this.#stop() // away for longer than the log reaches back
        setTimeout(() => void this.#start(), RETRY_MS)
      }
    }).unsubscribe
  }

  #stop() {
    this.#unfollow?.()
    this.#unfollow = undefined
  }

  readonly #lookAgain = soon(async () => void (this.#listeners.size && (await this.#read())), LOOK_AGAIN_MS)

  async #read(): Promise<string | undefined> {
    const { data, error } = await client.query(OnboardingDocument, {})
    if (data) {
      const { depth, maxDepth, maxConcurrent, jobs, cursor } = data.onboarding
      this.#set({ state: 'live', error: null, depth, maxDepth, maxConcurrent, jobs: this.#with(jobs) })
      return cursor
    }
    if (this.#queue.state !== 'live') this.#set({ state: 'failed', error: sentence(error!) })
    return undefined
  }

  #with(told: readonly Job[]): ReadonlyMap<string, Job> {
    const jobs = new Map(this.#queue.jobs)
    for (const job of told) {
      const held = jobs.get(job.id)
      if (!held || howFar(held) <= howFar(job)) jobs.set(job.id, job)
    }
    return jobs
  }

  #set(news: Partial<Queue>) {
    this.#queue = { ...this.#queue, ...news }
    for (const listener of this.#listeners) listener()
  }
}

export const onboardingFeed = new OnboardingFeed()

export const useOnboarding = () => useSyncExternalStore(onboardingFeed.follow, onboardingFeed.get)
