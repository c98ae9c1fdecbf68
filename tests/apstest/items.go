package apstest

import (
	"net/http"
	"path"
	"slices"
	"strings"
)

// planTypes are the files that the folder "Plans" takes.
var planTypes = []string{".dwf", ".dwfx", ".dwg", ".ifc", ".pdf", ".rvt"}

// place checks that a file of this name may be in a folder.
func (s *Server) place(id, name string) (*folder, error) {
	f, err := s.folder(id)
	if err != nil {
		return nil, err
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	switch {
	case f == s.root:
		return nil, refuse(http.StatusForbidden, "BIM360DM_ERROR", "Files can't be created in the root folder.")
	case f.plans && !slices.Contains(planTypes, strings.ToLower(path.Ext(name))):
		return nil, refuse(http.StatusBadRequest, "BAD_INPUT", "The Plans folder does not support this file type.")
	}
	return f, nil
}

func (s *Server) createStorage(c *call) (answer, error) {
	data := c.body.Data
	target, err := data.related("target", "folders")
	if err != nil || data.Type != "objects" {
		return answer{}, refuse(http.StatusBadRequest, "BAD_INPUT", "data must have type objects and a target folder")
	}
	f, err := s.place(target, data.Attributes.Name)
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusCreated, doc(identifier{"objects", s.newObject(f, data.Attributes.Name).urn()}, nil)}, nil
}

// stored finds an uploaded object by its URN.
func (s *Server) stored(urn string, f *folder) (*object, error) {
	o := s.objects[path.Base(urn)]
	switch {
	case o == nil || o.urn() != urn:
		return nil, refuse(http.StatusNotFound, "NOT_FOUND", "there is no storage %q", urn)
	case !o.complete:
		return nil, refuse(http.StatusBadRequest, "BAD_INPUT", "the storage has no content yet")
	case o.target != f:
		return nil, refuse(http.StatusBadRequest, "BAD_INPUT", "the storage was made for another folder")
	}
	return o, nil
}

// createItem makes a file, from storage or as a copy of a version.
func (s *Server) createItem(c *call) (answer, error) {
	data := c.body.Data
	id, err := data.related("parent", "folders")
	if err != nil {
		return answer{}, err
	}
	name, o, err := s.content(c, id)
	if err != nil {
		return answer{}, err
	}
	f, err := s.place(id, name)
	if err != nil {
		return answer{}, err
	}
	if f.names[strings.ToLower(name)] != nil {
		return answer{}, refuse(http.StatusConflict, "CONFLICT", "Another object with the same name already exists in this container.")
	}
	i := s.newItem(f, name, o)
	return answer{http.StatusCreated, doc(itemJSON(i), []any{versionJSON(i.tip())})}, nil
}

// content is the name and the object of a new item.
func (s *Server) content(c *call, folderID string) (string, *object, error) {
	data := c.body.Data
	if c.URL.Query().Has("copyFrom") {
		source, err := s.copied(c)
		if err != nil {
			return "", nil, err
		}
		name := source.name
		if len(c.body.Included) == 1 && c.body.Included[0].Attributes.Name != "" {
			name = c.body.Included[0].Attributes.Name
		}
		return name, source.object, nil
	}
	if err := data.extended("items:autodesk.bim360:File"); err != nil {
		return "", nil, err
	}
	if tip, err := data.related("tip", "versions"); err != nil || tip != "1" || len(c.body.Included) != 1 || c.body.Included[0].ID != "1" {
		return "", nil, refuse(http.StatusBadRequest, "BAD_INPUT", "the tip must be the included version with the id 1")
	}
	v := c.body.Included[0]
	if err := v.extended("versions:autodesk.bim360:File"); err != nil {
		return "", nil, err
	}
	if v.Attributes.Name != data.Attributes.DisplayName {
		return "", nil, refuse(http.StatusBadRequest, "BAD_INPUT", "displayName and the version's name differ")
	}
	urn, err := v.related("storage", "objects")
	if err != nil {
		return "", nil, err
	}
	o, err := s.stored(urn, s.folders[folderID])
	return v.Attributes.Name, o, err
}

// copied is the version that a request copies.
func (s *Server) copied(c *call) (*version, error) {
	v := s.versions[c.URL.Query().Get("copyFrom")]
	if v == nil || v.object == nil {
		return nil, refuse(http.StatusNotFound, "NOT_FOUND", "there is no such version to copy")
	}
	if _, err := s.folder(v.item.parent.id); err != nil {
		return nil, err
	}
	return v, nil
}

func (s *Server) getItem(c *call) (answer, error) {
	i := s.items[c.PathValue("item")]
	if i == nil {
		return answer{}, refuse(http.StatusNotFound, "NOT_FOUND", "there is no such item")
	}
	if _, err := s.folder(i.parent.id); err != nil {
		return answer{}, err
	}
	return answer{http.StatusOK, doc(itemJSON(i), []any{versionJSON(i.tip())})}, nil
}

// createVersion adds a version: from storage, of type Deleted, or as a copy.
func (s *Server) createVersion(c *call) (answer, error) {
	data := c.body.Data
	if data.Type != "versions" {
		return answer{}, refuse(http.StatusBadRequest, "BAD_INPUT", "data.type must be versions")
	}
	i, err := s.versioned(c)
	if err != nil {
		return answer{}, err
	}
	v, err := s.nextVersion(c, i)
	if err != nil {
		return answer{}, err
	}
	return answer{http.StatusCreated, doc(versionJSON(v), []any{itemJSON(i)})}, nil
}

// versioned is the item that gets a version: a copy without an item restores
// the one it is copied from.
func (s *Server) versioned(c *call) (*item, error) {
	var i *item
	if _, named := c.body.Data.Relationships["item"]; !named && c.URL.Query().Has("copyFrom") {
		v, err := s.copied(c)
		if err != nil {
			return nil, err
		}
		i = v.item
	} else {
		id, err := c.body.Data.related("item", "items")
		if err != nil {
			return nil, err
		}
		i = s.items[id]
	}
	if i == nil {
		return nil, refuse(http.StatusNotFound, "NOT_FOUND", "there is no such item")
	}
	if _, err := s.folder(i.parent.id); err != nil {
		return nil, err
	}
	return i, nil
}

func (s *Server) nextVersion(c *call, i *item) (*version, error) {
	data := c.body.Data
	if data.Attributes.Extension.Type == "versions:autodesk.core:Deleted" {
		if i.hidden() {
			return nil, refuse(http.StatusConflict, "CONFLICT", "The item is deleted already.")
		}
		return s.newVersion(i, s.id("deleted-"), nil), nil
	}
	name, o := data.Attributes.Name, (*object)(nil)
	if c.URL.Query().Has("copyFrom") {
		source, err := s.copied(c)
		if err != nil {
			return nil, err
		}
		if o = source.object; name == "" {
			name = source.name
		}
	} else {
		if err := data.extended("versions:autodesk.bim360:File"); err != nil {
			return nil, err
		}
		urn, err := data.related("storage", "objects")
		if err != nil {
			return nil, err
		}
		if o, err = s.stored(urn, i.parent); err != nil {
			return nil, err
		}
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	if holder := i.parent.names[strings.ToLower(name)]; holder != nil && holder != i {
		return nil, refuse(http.StatusConflict, "CONFLICT", "Another object with the same name already exists in this container.")
	}
	return s.newVersion(i, name, o), nil
}
