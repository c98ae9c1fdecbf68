package graph

import (
	"fmt"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/lexer"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/graph/model"
)

// The limits of a document. None of them counts inside of a JSON argument,
// which the size of the body bounds.
const (
	maxTokens     = 2000
	maxDepth      = 15
	maxRootFields = 20
	// maxFields counts a fragment's fields each time that it is spread.
	maxFields = 2000
	// maxCost is about the number of values in the answer.
	maxCost = 200_000
)

const (
	defaultPage = 100
	maxPage     = 1000
	// someElements stands for the length of a list that no argument limits,
	// fewElements for one inside of such a list: a task has few destinations.
	someElements = 10
	fewElements  = 2
)

func tooMuch(reason, format string, limit int) *door.Fault {
	return door.Invalid(door.Violation{Field: "query", Reason: reason, Description: fmt.Sprintf(format, limit)})
}

// checkTokens counts the tokens of a query before it is parsed. Inside of the
// parentheses of arguments, what lies in braces or brackets is a value and
// doesn't count. A text that is no query is the parser's to refuse.
func checkTokens(query string) *door.Fault {
	tokens := lexer.New(&ast.Source{Input: query})
	count, parens, nested := 0, 0, 0
	for {
		token, err := tokens.ReadToken()
		if err != nil || token.Kind == lexer.EOF {
			return nil
		}
		switch token.Kind {
		case lexer.ParenL:
			parens++
		case lexer.ParenR:
			parens, nested = max(parens-1, 0), 0
		case lexer.BraceL, lexer.BracketL:
			if parens > 0 {
				nested++
			}
		case lexer.BraceR, lexer.BracketR:
			nested = max(nested-1, 0)
		}
		if nested == 0 {
			count++
		}
		if count > maxTokens {
			return tooMuch("QUERY_TOO_LONG", "has more than %d tokens outside of JSON arguments", maxTokens)
		}
	}
}

// size is how deep a selection goes and how many fields it has.
type size struct{ depth, fields int }

// sizes measures selections before the document is validated, so that no rule
// has to work through what is too large. Each fragment is measured once.
type sizes struct {
	document *ast.QueryDocument
	known    map[string]size
	open     map[string]bool
}

// checkSize limits every operation of a document.
func checkSize(document *ast.QueryDocument) *door.Fault {
	s := sizes{document: document, known: map[string]size{}, open: map[string]bool{}}
	for _, operation := range document.Operations {
		switch whole := s.of(operation.SelectionSet); {
		case whole.depth > maxDepth:
			return tooMuch("QUERY_TOO_DEEP", "selects fields more than %d levels deep", maxDepth)
		case whole.fields > maxFields:
			return tooMuch("QUERY_TOO_LONG", "selects more than %d fields, counting those of fragments", maxFields)
		case s.roots(operation.SelectionSet) > maxRootFields:
			return tooMuch("QUERY_TOO_LONG", "has more than %d fields at its root", maxRootFields)
		}
	}
	return nil
}

func (s sizes) of(selections ast.SelectionSet) size {
	var sum size
	for _, selection := range selections {
		var one size
		switch selection := selection.(type) {
		case *ast.Field:
			one = s.of(selection.SelectionSet)
			one.depth++
			one.fields++
		case *ast.InlineFragment:
			one = s.of(selection.SelectionSet)
			one.fields++ // so that what spreads nothing is bounded, too
		case *ast.FragmentSpread:
			one = s.fragment(selection.Name)
			one.fields++
		}
		sum.depth = max(sum.depth, one.depth)
		sum.fields = min(sum.fields+one.fields, maxFields+1) // never overflows
	}
	return sum
}

// fragment measures a fragment. One that spreads itself is refused later, by
// validation.
func (s sizes) fragment(name string) size {
	if known, ok := s.known[name]; ok || s.open[name] {
		return known
	}
	s.open[name] = true
	defer delete(s.open, name)
	var one size
	if fragment := s.document.Fragments.ForName(name); fragment != nil {
		one = s.of(fragment.SelectionSet)
	}
	s.known[name] = one
	return one
}

// roots counts the fields at the root; the size is known to be small.
func (s sizes) roots(selections ast.SelectionSet) int {
	count := 0
	for _, selection := range selections {
		switch selection := selection.(type) {
		case *ast.Field:
			count++
		case *ast.InlineFragment:
			count += s.roots(selection.SelectionSet)
		case *ast.FragmentSpread:
			if fragment := s.document.Fragments.ForName(selection.Name); fragment != nil && !s.open[selection.Name] {
				s.open[selection.Name] = true
				count += s.roots(fragment.SelectionSet)
				delete(s.open, selection.Name)
			}
		}
	}
	return count
}

// checkCost limits what a valid operation can answer: every field counts as
// often as the lists around it are long.
func checkCost(operation *ast.OperationDefinition, variables map[string]any) *door.Fault {
	if cost(operation.SelectionSet, variables, 1, 0, false) > maxCost {
		return tooMuch("QUERY_TOO_COMPLEX", "asks for more than about %d values; ask for fewer fields or smaller pages", maxCost)
	}
	return nil
}

// cost counts selections that are answered times times. page is the length of
// the list that the field around them limits, 0 when it limits none; inside is set
// in a list that nothing limits.
func cost(selections ast.SelectionSet, variables map[string]any, times, page int, inside bool) int {
	sum := 0
	for _, selection := range selections {
		switch selection := selection.(type) {
		case *ast.Field:
			sum += times + costOfField(selection, variables, times, page, inside)
		case *ast.InlineFragment:
			sum += cost(selection.SelectionSet, variables, times, page, inside)
		case *ast.FragmentSpread:
			sum += cost(selection.Definition.SelectionSet, variables, times, page, inside)
		}
		if sum > maxCost {
			return maxCost + 1 // never overflows
		}
	}
	return sum
}

func costOfField(field *ast.Field, variables map[string]any, times, page int, inside bool) int {
	inner := 0
	switch {
	case field.Definition.Arguments.ForName("page") != nil:
		inner = pageLength(field, variables)
	case field.Definition.Type.Elem != nil && page > 0:
		times *= page
	case field.Definition.Type.Elem != nil && field.ObjectDefinition.Name == "Query":
		times *= defaultPage // all of an instance's jobs
	case field.Definition.Type.Elem != nil && inside:
		times *= fewElements
	case field.Definition.Type.Elem != nil:
		times, inside = times*someElements, true
	}
	return cost(field.SelectionSet, variables, min(times, maxCost+1), inner, inside)
}

// pageLength reads page.first; the service refuses what is no length.
func pageLength(field *ast.Field, variables map[string]any) int {
	page, _ := field.ArgumentMap(variables)["page"].(map[string]any)
	first, given := model.Integer(page["first"])
	if !given || first < 0 {
		return defaultPage
	}
	return int(min(first, maxPage))
}
