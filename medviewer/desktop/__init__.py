"""The window: main window, viewports, tools, panels. The only room that imports Qt."""
