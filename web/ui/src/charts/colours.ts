// What draws outside of CSS asks here what a colour of the style is now.

/** `--line` as it is computed in the theme of the moment; with `alpha`, so much of it. */
export function colour(token: string, alpha = 1): string {
  const probe = document.createElement('span')
  probe.style.color = `var(${token})` // light-dark() is decided for a property that is a colour, not for the token itself
  document.body.append(probe)
  const computed = getComputedStyle(probe).color
  probe.remove()
  return alpha === 1 ? computed : computed.replace(/^rgb\((.*)\)$/, `rgba($1, ${alpha})`)
}
