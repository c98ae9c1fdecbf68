package graph

import (
	"os"
	"testing"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	"github.com/pointscene/carillon/facade/internal/graph/exec"
)

// TestSurfaceOnlyGrows compares the schema with the original one: a client of
// that must not notice a difference.
func TestSurfaceOnlyGrows(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/original.graphql")
	if err != nil {
		t.Fatal(err)
	}
	original, err := gqlparser.LoadSchema(&ast.Source{Name: "original.graphql", Input: string(text)})
	if err != nil {
		t.Fatal(err)
	}
	ours := exec.NewExecutableSchema(exec.Config{}).Schema()
	for name, want := range original.Types {
		got := ours.Types[name]
		if got == nil || got.Kind != want.Kind {
			t.Errorf("type %s is missing or of another kind", name)
			continue
		}
		for _, value := range want.EnumValues {
			if got.EnumValues.ForName(value.Name) == nil {
				t.Errorf("%s lacks %s", name, value.Name)
			}
		}
		for _, field := range want.Fields {
			sameField(t, name, field, got.Fields.ForName(field.Name))
		}
		if want.Kind == ast.InputObject {
			newOnesAreOptional(t, name, want.Fields, got.Fields)
		}
	}
}

func sameField(t *testing.T, of string, want, got *ast.FieldDefinition) {
	t.Helper()
	if got == nil || got.Type.String() != want.Type.String() {
		t.Errorf("%s.%s is missing or of another type", of, want.Name)
		return
	}
	for _, argument := range want.Arguments {
		ours := got.Arguments.ForName(argument.Name)
		if ours == nil || ours.Type.String() != argument.Type.String() || ours.DefaultValue.String() != argument.DefaultValue.String() {
			t.Errorf("%s.%s: the argument %s is missing or differs", of, want.Name, argument.Name)
		}
	}
	for _, argument := range got.Arguments {
		if argument.Type.NonNull && argument.DefaultValue == nil && want.Arguments.ForName(argument.Name) == nil {
			t.Errorf("%s.%s: the new argument %s is required", of, want.Name, argument.Name)
		}
	}
}

func newOnesAreOptional(t *testing.T, of string, want, got ast.FieldList) {
	t.Helper()
	for _, field := range got {
		if want.ForName(field.Name) == nil && field.Type.NonNull {
			t.Errorf("%s: the new field %s is required", of, field.Name)
		}
	}
}
