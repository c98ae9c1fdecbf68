package acc

import (
	"encoding/json"
	"slices"
	"time"
)

// The parts of the service's answers and requests that are used here, in the
// format of JSON:API 1.0.

const (
	folderType  = "folders:autodesk.bim360:Folder"
	itemType    = "items:autodesk.bim360:File"
	versionType = "versions:autodesk.bim360:File"
	deletedType = "versions:autodesk.core:Deleted"
	// documentType is what folders for plans show.
	documentType = "items:autodesk.bim360:Document"
)

type identifier struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

type relation struct {
	Data identifier `json:"data"`
}

type extension struct {
	Type    string          `json:"type"`
	Version string          `json:"version"`
	Data    json.RawMessage `json:"data,omitempty"`
}

type attributes struct {
	Name             string     `json:"name,omitempty"`
	DisplayName      string     `json:"displayName,omitempty"`
	Hidden           *bool      `json:"hidden,omitempty"`
	StorageSize      *int64     `json:"storageSize,omitempty"`
	LastModifiedTime *time.Time `json:"lastModifiedTime,omitempty"`
	Extension        *extension `json:"extension,omitempty"`
}

type resource struct {
	Type          string              `json:"type"`
	ID            string              `json:"id,omitempty"`
	Attributes    *attributes         `json:"attributes,omitempty"`
	Relationships map[string]relation `json:"relationships,omitempty"`
}

// UnmarshalJSON passes over relationships without data, and over those whose
// data is a list.
func (r *relation) UnmarshalJSON(text []byte) error {
	var raw struct{ Data json.RawMessage }
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	_ = json.Unmarshal(raw.Data, &r.Data)
	return nil
}

type jsonAPI struct {
	Version string `json:"version"`
}

// document is a body with one resource.
type document struct {
	JSONAPI  jsonAPI    `json:"jsonapi"`
	Data     resource   `json:"data"`
	Included []resource `json:"included,omitempty"`
}

func newDocument(data resource, included ...resource) *document {
	return &document{JSONAPI: jsonAPI{"1.0"}, Data: data, Included: included}
}

// listPage is a body with many resources.
type listPage struct {
	Data     []resource `json:"data"`
	Included []resource `json:"included"`
	Links    struct {
		Next json.RawMessage `json:"next"`
	} `json:"links"`
}

// id is the id of a related resource, or empty.
func (r *resource) related(name string) string { return r.Relationships[name].Data.ID }

func (r *resource) attr() attributes {
	if r.Attributes == nil {
		return attributes{}
	}
	return *r.Attributes
}

func (r *resource) hidden() bool {
	hidden := r.attr().Hidden
	return hidden != nil && *hidden
}

// forPlans tells whether a folder shows documents and not files.
func (r *resource) forPlans() bool {
	var data struct {
		VisibleTypes []string `json:"visibleTypes"`
	}
	if e := r.attr().Extension; e != nil {
		_ = json.Unmarshal(e.Data, &data)
	}
	return slices.Contains(data.VisibleTypes, documentType) && !slices.Contains(data.VisibleTypes, itemType)
}

// find returns the resource of a list with this id, or nil.
func find(list []resource, id string) *resource {
	for i := range list {
		if list[i].ID == id {
			return &list[i]
		}
	}
	return nil
}

func newResource(typ string, a *attributes, related map[string]identifier) resource {
	r := resource{Type: typ, Attributes: a, Relationships: map[string]relation{}}
	for name, id := range related {
		r.Relationships[name] = relation{id}
	}
	return r
}

// newVersion is a version to be made, with its storage.
func newVersion(name, urn string) resource {
	return newResource("versions", &attributes{Name: name, Extension: &extension{Type: versionType, Version: "1.0"}},
		map[string]identifier{"storage": {"objects", urn}})
}

// signedUpload is where parts go to.
type signedUpload struct {
	UploadKey string   `json:"uploadKey"`
	URLs      []string `json:"urls"`
}

// signedDownload is where content comes from.
type signedDownload struct {
	Status string `json:"status"`
	URL    string `json:"url"`
	SHA1   string `json:"sha1"`
}

// completion ends an upload.
type completion struct {
	UploadKey string   `json:"uploadKey"`
	Size      int64    `json:"size"`
	ETags     []string `json:"eTags"`
}
