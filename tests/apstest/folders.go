package apstest

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// document is a JSON:API body, or the body that completes an upload.
type document struct {
	JSONAPI struct {
		Version string `json:"version"`
	} `json:"jsonapi"`
	Data     resource   `json:"data"`
	Included []resource `json:"included"`

	UploadKey string   `json:"uploadKey"`
	Size      *int64   `json:"size"`
	ETags     []string `json:"eTags"`
}

type resource struct {
	Type       string `json:"type"`
	ID         string `json:"id"`
	Attributes struct {
		Name        string `json:"name"`
		DisplayName string `json:"displayName"`
		Hidden      *bool  `json:"hidden"`
		Extension   struct {
			Type    string `json:"type"`
			Version string `json:"version"`
		} `json:"extension"`
	} `json:"attributes"`
	Relationships map[string]struct {
		Data identifier `json:"data"`
	} `json:"relationships"`
}

type identifier struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// related checks and returns the id of a relationship.
func (r resource) related(name, typ string) (string, error) {
	got := r.Relationships[name].Data
	if got.Type != typ || got.ID == "" {
		return "", refuse(http.StatusBadRequest, "BAD_INPUT", "relationships.%s.data must have type %q and an id", name, typ)
	}
	return got.ID, nil
}

// extended checks the extension's type.
func (r resource) extended(want string) error {
	if e := r.Attributes.Extension; e.Type != want || e.Version != "1.0" {
		return refuse(http.StatusBadRequest, "BAD_INPUT", "attributes.extension must be %s 1.0", want)
	}
	return nil
}

// reserved are the characters that names must not have.
const reserved = "<>:\"/\\|?*`\n\r\t\x00\f¢™®"

func checkName(name string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > 255 || !utf8.ValidString(name) {
		return refuse(http.StatusBadRequest, "BAD_INPUT", "a name has 1 to 255 characters")
	}
	if strings.ContainsAny(name, reserved) {
		return refuse(http.StatusBadRequest, "BAD_INPUT", "the name has a reserved character")
	}
	return nil
}

// folder finds a folder that may be used.
func (s *Server) folder(id string) (*folder, error) {
	f := s.folders[id]
	if f == nil {
		return nil, refuse(http.StatusNotFound, "NOT_FOUND", "there is no folder %q", id)
	}
	for up := f; up != nil; up = up.parent {
		if up.denied {
			return nil, refuse(http.StatusForbidden, "BIM360DM_ERROR", "You don't have permission to perform this operation.")
		}
	}
	return f, nil
}

func (s *Server) topFolders(*call) (answer, error) {
	data := []any{}
	for _, entry := range s.root.entries {
		data = append(data, folderJSON(entry.(*folder)))
	}
	return answer{http.StatusOK, doc(data, nil)}, nil
}

// contents lists a folder, a page at a time.
func (s *Server) contents(c *call) (answer, error) {
	f, err := s.folder(c.PathValue("folder"))
	if err != nil {
		return answer{}, err
	}
	query := c.URL.Query()
	limit, err := number(query, "page[limit]", 200, 1, 200)
	if err != nil {
		return answer{}, err
	}
	page, err := number(query, "page[number]", 0, 0, 1<<30)
	if err != nil {
		return answer{}, err
	}
	shown := f.shown(query.Get("filter[type]"), query.Get("includeHidden") == "true")
	first, last := min(page*limit, len(shown)), min((page+1)*limit, len(shown))
	data, included := []any{}, []any{}
	for _, entry := range shown[first:last] {
		switch e := entry.(type) {
		case *folder:
			data = append(data, folderJSON(e))
		case *item:
			data, included = append(data, itemJSON(e)), append(included, versionJSON(e.tip()))
		}
	}
	body := doc(data, included)
	if last < len(shown) {
		query.Set("page[number]", strconv.Itoa(page+1))
		body["links"] = map[string]any{"next": map[string]string{"href": s.URL + c.URL.Path + "?" + query.Encode()}}
	}
	return answer{http.StatusOK, body}, nil
}

// shown are the entries that a listing has.
func (f *folder) shown(typ string, hidden bool) []any {
	found := []any{}
	for _, entry := range f.entries {
		switch e := entry.(type) {
		case *folder:
			if typ != "items" && (hidden || !e.hidden) {
				found = append(found, e)
			}
		case *item:
			if typ != "folders" && (hidden || !e.hidden()) {
				found = append(found, e)
			}
		}
	}
	return found
}

func number(query url.Values, name string, unset, least, most int) (int, error) {
	if !query.Has(name) {
		return unset, nil
	}
	n, err := strconv.Atoi(query.Get(name))
	if err != nil || n < least || n > most {
		return 0, refuse(http.StatusBadRequest, "BAD_INPUT", "%s must be from %d to %d", name, least, most)
	}
	return n, nil
}

func (s *Server) createFolder(c *call) (answer, error) {
	data := c.body.Data
	if err := data.extended("folders:autodesk.bim360:Folder"); err != nil {
		return answer{}, err
	}
	id, err := data.related("parent", "folders")
	if err != nil {
		return answer{}, err
	}
	parent, err := s.folder(id)
	if err != nil {
		return answer{}, err
	}
	name := data.Attributes.Name
	if err := checkName(name); err != nil {
		return answer{}, err
	}
	switch {
	case parent == s.root:
		return answer{}, refuse(http.StatusForbidden, "BIM360DM_ERROR", "Folders can't be created in the root folder.")
	case parent.depth() >= 25:
		return answer{}, refuse(http.StatusBadRequest, "BAD_INPUT", "The number of subfolder levels is limited to 25.")
	case parent.names[strings.ToLower(name)] != nil:
		return answer{}, refuse(http.StatusConflict, "CONFLICT", "A resource with this name already exists.")
	}
	return answer{http.StatusCreated, doc(folderJSON(s.newFolder(parent, name)), nil)}, nil
}

// patchFolder hides and restores a folder.
func (s *Server) patchFolder(c *call) (answer, error) {
	f, err := s.folder(c.PathValue("folder"))
	if err != nil {
		return answer{}, err
	}
	data := c.body.Data
	if data.Type != "folders" || data.ID != f.id || data.Attributes.Hidden == nil {
		return answer{}, refuse(http.StatusBadRequest, "BAD_INPUT", "data must have type, id and attributes.hidden")
	}
	if f.parent == nil || f.parent == s.root {
		return answer{}, refuse(http.StatusForbidden, "BIM360DM_ERROR", "Top folders can't be changed.")
	}
	f.hidden, f.modified = *data.Attributes.Hidden, s.options.Now()
	return answer{http.StatusOK, doc(folderJSON(f), nil)}, nil
}
