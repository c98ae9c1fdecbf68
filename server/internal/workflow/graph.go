package workflow

import "strings"

// maxNamedInCycle bounds how many tasks of a cycle an error names.
const maxNamedInCycle = 10

// Graph is a workflow's shape by task index. A runner keeps its own copy of
// Waits, starts the tasks at 0, and counts down the dependents of each task
// that ends.
type Graph struct {
	// Waits is how many other tasks task i waits for.
	Waits []int
	// Dependents lists the tasks that wait for task i, in order.
	Dependents [][]int
}

// Graph returns the workflow's shape.
func (w *Workflow) Graph() *Graph {
	g := &Graph{Waits: make([]int, len(w.Tasks)), Dependents: make([][]int, len(w.Tasks))}
	if len(w.Tasks) == 1 && len(w.Tasks[0].Inputs) == 0 {
		return g
	}
	find := w.finder()
	for i := range w.Tasks {
		for _, input := range w.Tasks[i].Inputs {
			if needed := find(input); needed >= 0 {
				g.Waits[i]++
				g.Dependents[needed] = append(g.Dependents[needed], i)
			}
		}
	}
	return g
}

// Order returns all tasks so that each one comes after those it waits for.
// It is shorter than the workflow when tasks wait for each other, which Parse
// refuses.
func (g *Graph) Order() []int {
	waits := make([]int, len(g.Waits))
	order := make([]int, 0, len(g.Waits))
	for i, n := range g.Waits {
		waits[i] = n
		if n == 0 {
			order = append(order, i)
		}
	}
	for next := 0; next < len(order); next++ {
		for _, dependent := range g.Dependents[order[next]] {
			if waits[dependent]--; waits[dependent] == 0 {
				order = append(order, dependent)
			}
		}
	}
	return order
}

// cycle returns tasks of which each waits for the one before, and the first
// for the last; nil when there are none.
func (g *Graph) cycle() []int {
	order := g.Order()
	if len(order) == len(g.Waits) {
		return nil
	}
	ordered := make([]bool, len(g.Waits))
	for _, i := range order {
		ordered[i] = true
	}
	// Every task left waits for another one left: walking from any of them
	// against the edges must come round.
	waitsFor := make([]int, len(g.Waits))
	start := -1
	for i, dependents := range g.Dependents {
		if ordered[i] {
			continue
		}
		for _, dependent := range dependents {
			waitsFor[dependent] = i
			start = dependent
		}
	}
	step := make([]int, len(g.Waits))
	at := start
	for n := 1; step[at] == 0; n++ {
		step[at] = n
		at = waitsFor[at]
	}
	return walk(waitsFor, at)
}

// walk collects the cycle through at, turned so that the task written first
// leads it.
func walk(waitsFor []int, at int) []int {
	first := at
	for i := waitsFor[at]; i != at; i = waitsFor[i] {
		first = min(first, i)
	}
	backwards := []int{first}
	for i := waitsFor[first]; i != first; i = waitsFor[i] {
		backwards = append(backwards, i)
	}
	cycle := []int{first}
	for k := len(backwards) - 1; k > 0; k-- {
		cycle = append(cycle, backwards[k])
	}
	return cycle
}

// describe writes a cycle as a → b → a.
func (w *Workflow) describe(cycle []int) string {
	var b strings.Builder
	for k, i := range cycle {
		if k == maxNamedInCycle {
			b.WriteString("… → ")
			break
		}
		b.WriteString(w.Tasks[i].Name + " → ")
	}
	b.WriteString(w.Tasks[cycle[0]].Name)
	return b.String()
}
