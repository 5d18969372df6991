package com.amazonaws.services.glue.log;

/** Writes to the driver's standard error, as the service writes to its log. */
public class GlueLogger {
    public void info(String message) {
        System.err.println("GLUE INFO " + message);
    }

    public void warn(String message) {
        System.err.println("GLUE WARN " + message);
    }

    public void error(String message) {
        System.err.println("GLUE ERROR " + message);
    }
}
