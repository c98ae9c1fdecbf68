package apstest

import (
	"mime"
	"path"
	"strings"
	"time"
)

// How resources look in answers.

func doc(data any, included []any) map[string]any {
	body := map[string]any{"jsonapi": map[string]string{"version": "1.0"}, "data": data}
	if included != nil {
		body["included"] = included
	}
	return body
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }

func relation(typ, id string) map[string]any {
	return map[string]any{"data": identifier{typ, id}}
}

func folderJSON(f *folder) map[string]any {
	visible := "items:autodesk.bim360:File"
	if f.plans {
		visible = "items:autodesk.bim360:Document"
	}
	return map[string]any{
		"type": "folders", "id": f.id,
		"attributes": map[string]any{
			"name": f.name, "displayName": f.name, "lastModifiedTime": stamp(f.modified),
			"hidden": f.hidden, "objectCount": len(f.entries),
			"extension": map[string]any{"type": "folders:autodesk.bim360:Folder", "version": "1.0",
				"data": map[string]any{"visibleTypes": []string{"folders", visible}}},
		},
		"relationships": map[string]any{"parent": relation("folders", f.parent.id)},
	}
}

func itemJSON(i *item) map[string]any {
	kind := "items:autodesk.bim360:File"
	if i.parent.plans {
		kind = "items:autodesk.bim360:Document"
	}
	return map[string]any{
		"type": "items", "id": i.id,
		"attributes": map[string]any{
			"displayName": strings.TrimSuffix(i.tip().name, path.Ext(i.tip().name)), "hidden": i.hidden(), "reserved": false,
			"lastModifiedTime": stamp(i.tip().created), "extension": map[string]any{"type": kind, "version": "1.0"},
		},
		"relationships": map[string]any{"tip": relation("versions", i.tip().id), "parent": relation("folders", i.parent.id)},
	}
}

func versionJSON(v *version) map[string]any {
	attributes := map[string]any{
		"name": v.name, "displayName": v.name, "versionNumber": v.number,
		"createTime": stamp(v.created), "lastModifiedTime": stamp(v.created),
	}
	relationships := map[string]any{"item": relation("items", v.item.id)}
	if v.object == nil {
		attributes["extension"] = map[string]any{"type": "versions:autodesk.core:Deleted", "version": "1.0"}
	} else {
		attributes["extension"] = map[string]any{"type": "versions:autodesk.bim360:File", "version": "1.0"}
		attributes["storageSize"] = len(v.object.content)
		attributes["mimeType"] = mime.TypeByExtension(path.Ext(v.name))
		if v.object.bucket != "" {
			relationships["storage"] = relation("objects", v.object.urn())
		}
	}
	return map[string]any{"type": "versions", "id": v.id, "attributes": attributes, "relationships": relationships}
}
